//! Rooms and blocks: what is lent, and what comes back.

use proptest::prelude::*;

use super::*;

/// The free parts: each one's piece, where it begins there, and its bytes.
fn free(arena: &Arena) -> Vec<(usize, usize, usize)> {
    arena.lock().free.iter().map(|part| (part.piece, part.region.offset(), part.region.len())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn blocks_keep_their_bytes_and_all_comes_back(
        steps in proptest::collection::vec((0..3u8, 0..3_000_000usize, any::<u8>()), 1..40),
    ) {
        let arena = Arc::new(Arena::private().unwrap());
        let mut blocks: Vec<(Block, usize, u8)> = Vec::new();
        for (step, number, value) in steps {
            match step {
                0 if !blocks.is_empty() => {
                    let (block, bytes, value) = blocks.swap_remove(number % blocks.len());
                    prop_assert!(block[..bytes].iter().all(|&byte| byte == value));
                }
                1 => drop(arena.room(number)),
                _ => {
                    let bytes = if number % 8 == 0 { number } else { number % 100_000 };
                    let mut room = arena.room(bytes).unwrap();
                    prop_assert!(room.len() >= bytes);
                    room[..bytes].fill(value);
                    let block = room.into_block(bytes);
                    prop_assert_eq!(block.place().1 % ALIGN, 0);
                    blocks.push((block, bytes, value));
                }
            }
        }
        for (block, bytes, value) in &blocks {
            prop_assert!(block[..*bytes].iter().all(|byte| byte == value));
        }
        drop(blocks);
        let bytes = arena.bytes.lock().0;
        let free = free(&arena);
        prop_assert!(free.iter().enumerate().all(|(at, &(piece, offset, _))| (piece, offset) == (at, 0)), "{:?}", free);
        prop_assert_eq!(free.iter().map(|part| part.2).sum::<usize>(), bytes);
    }
}

#[test]
fn all_that_is_lent_at_once_is_room_of_ones_own() {
    let arena = Arc::new(Arena::private().unwrap());
    let mut rooms: Vec<WritableBlock> = std::iter::from_fn(|| arena.room(ROOM_BYTES_MAX)).collect();
    assert!(rooms.iter().map(|room| room.len()).sum::<usize>() == ARENA_BYTES);
    for (value, room) in rooms.iter_mut().enumerate() {
        room[0] = value as u8;
    }
    assert!(rooms.iter().enumerate().all(|(value, room)| room[0] == value as u8));
    assert_eq!(&arena.block(b"abc".to_vec()).unwrap()[..], b"abc");
}

#[test]
fn it_grows_as_more_is_wanted_and_no_further() {
    let arena = Arc::new(Arena::private().unwrap());
    drop((arena.first_room().unwrap(), arena.room(0).unwrap()));
    assert_eq!(free(&arena), [(0, 0, FIRST_BYTES)]);
    // No row of this size was seen, so its block is a copy; the next finds room at once, also in another call.
    let row = vec![1; 5 << 20];
    drop(arena.block_of_row(row.clone()).unwrap());
    assert_eq!(free(&arena), [(0, 0, FIRST_BYTES), (1, 0, 8 << 20)]);
    assert!(arena.first_room().unwrap().len() >= row.len());
    let lent = [arena.room(row.len()).unwrap(), arena.room(row.len()).unwrap()];
    assert_eq!(arena.lock().segments.len(), 3);
    drop(lent);
    assert_eq!(free(&arena), [(0, 0, FIRST_BYTES), (1, 0, 8 << 20), (2, 0, 12 << 20)]);
}

#[test]
#[cfg(poolmap_linux)]
fn what_stands_behind_the_first_piece_names_its_memory() {
    let arena = Arc::new(Arena::shared().unwrap());
    let small = arena.block(b"abc".to_vec()).unwrap();
    assert!(matches!(small.place(), (None, HEAD_BYTES)));
    let large = arena.block(vec![7; 9 << 20]).unwrap();
    let (segment, offset) = large.place();
    let segment = segment.unwrap();
    let memory = sys::FromParent::in_test(segment.memory.try_clone().unwrap());
    let view = sys::View::new(&memory, segment.bytes).unwrap();
    assert_eq!(view.bytes(offset, large.len()), Some(&large[..]));
    drop(large);
    // The same memory serves again.
    let again = arena.block(vec![8; 9 << 20]).unwrap();
    assert_eq!(again.place().0.unwrap().id, arena.lock().segments[1].as_ref().unwrap().id);
}
