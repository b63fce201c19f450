//! The files that the recorded calls are in, as the kernel lists them (proc_pid_maps(5)): read from a signal's handler, so without memory
//! and locks. The list has also what was loaded after the start, and what no loader knows of.

/// Other systems have no such list.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn record_files() {}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use linux::record_files;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use nix::libc;

    use crate::sys::stack_record::{self, HEADER_BYTES_MAX};

    /// Adds the files to the record of a stack.
    pub(in crate::sys) fn record_files() {
        #[cfg(poolmap_sandbox)]
        if let Some(maps) = crate::sys::sandbox_opened::opened_maps() {
            stack_record::with_scratch(|buffer| record_lines(maps, buffer));
            return;
        }
        // SAFETY: the path ends with a zero; open(2) is allowed in a handler.
        let maps = unsafe { libc::open(c"/proc/self/maps".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
        if maps >= 0 {
            stack_record::with_scratch(|buffer| {
                record_lines(maps, buffer);
                record_folder(buffer);
            });
            // SAFETY: the descriptor was opened above, and nothing else knows it.
            unsafe { libc::close(maps) };
        }
    }

    /// Adds the working folder, where a core dump may be.
    fn record_folder(buffer: &mut [u8]) {
        // SAFETY: the buffer is ours, and as long as it says. The call of the C library may take memory; this one of the kernel's does not.
        let count = unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) };
        // The zero behind it counts.
        let path = usize::try_from(count).ok().and_then(|count| buffer.get(..count.checked_sub(1)?));
        path.into_iter().for_each(stack_record::set_folder);
    }

    fn record_lines(maps: libc::c_int, buffer: &mut [u8]) {
        let (mut filled, mut first) = (0, None);
        loop {
            let room = &mut buffer[filled..];
            // SAFETY: the room is ours, and as long as it says.
            let count = unsafe { libc::read(maps, room.as_mut_ptr().cast(), room.len()) };
            let Some(count) = usize::try_from(count).ok().filter(|&count| count > 0) else {
                return;
            };
            filled += count;
            let mut begun = 0;
            while let Some(length) = buffer[begun..filled].iter().position(|&byte| byte == b'\n') {
                if let Some(line) = Line::parse(&buffer[begun..begun + length]) {
                    record_line(&line, &mut first);
                }
                begun += length + 1;
            }
            // A line that has more bytes than there is room for is none.
            let rest = if begun == 0 && filled == buffer.len() { filled } else { begun };
            buffer.copy_within(rest..filled, 0);
            filled -= rest;
        }
    }

    /// The mapping of a file's first bytes, and the number of the file once a call in it was found.
    struct First {
        start: u64,
        end: u64,
        is_readable: bool,
        inode: u64,
        file: Option<u8>,
    }

    fn record_line(line: &Line<'_>, first: &mut Option<First>) {
        let Line { start, end, offset, inode, is_readable, path } = *line;
        let is_new = offset == 0 || first.as_ref().is_none_or(|first| first.inode != inode);
        if is_new {
            // Of a file whose first bytes are not mapped, the beginning is where it would be.
            let start = start.wrapping_sub(offset);
            *first = Some(First { start, end, is_readable: is_readable && offset == 0, inode, file: None });
        }
        let Some(first) = first.as_mut().filter(|_| !path.is_empty()) else {
            return;
        };
        for frame in stack_record::frames_in(start, end) {
            first.file = first.file.or_else(|| push(first, path));
            if let Some(file) = first.file {
                stack_record::set_file(frame, file);
            }
        }
    }

    fn push(first: &First, path: &[u8]) -> Option<u8> {
        let bytes = usize::try_from(first.end.checked_sub(first.start)?).ok()?.min(HEADER_BYTES_MAX);
        let byte = |at: usize| {
            let address: *const u8 = std::ptr::with_exposed_provenance(first.start as usize + at);
            // SAFETY: the kernel has just listed these bytes as mapped and readable, and it is less than `bytes`. Should another
            // thread unmap them, the read is a fault, for which the walk is prepared.
            unsafe { address.read_volatile() }
        };
        if !first.is_readable || bytes < 18 || (0..4).any(|at| byte(at) != b"\x7fELF"[at]) {
            return stack_record::push_file(first.start, 0, 0, path);
        }
        // A program that is not relocated is at its own addresses (elf(5): ET_EXEC), and what is starts at 0.
        let is_fixed = u16::from_ne_bytes([byte(16), byte(17)]) == 2;
        let bias = if is_fixed { 0 } else { first.start };
        stack_record::push_file(bias, bytes, stack_record::header_hash((0..bytes).map(byte)), path)
    }

    /// A line of the list.
    #[derive(Debug, PartialEq, Eq)]
    struct Line<'a> {
        start: u64,
        end: u64,
        is_readable: bool,
        offset: u64,
        inode: u64,
        path: &'a [u8],
    }

    impl<'a> Line<'a> {
        /// `7f00-7f10 r-xp 00001000 08:02 1234   /usr/lib/libc.so.6`
        fn parse(line: &'a [u8]) -> Option<Self> {
            let (start, line) = hex(line, b'-')?;
            let (end, line) = hex(line, b' ')?;
            let (rights, line) = line.split_at_checked(4)?;
            let (offset, line) = hex(line.strip_prefix(b" ")?, b' ')?;
            let device = line.iter().position(|&byte| byte == b' ')?;
            let line = &line[device + 1..];
            let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let inode =
                line[..digits].iter().fold(0u64, |all, byte| all.wrapping_mul(10).wrapping_add(u64::from(byte - b'0')));
            let path = line[digits..].trim_ascii_start();
            (end > start).then_some(Self { start, end, is_readable: rights[0] == b'r', offset, inode, path })
        }
    }

    /// A number in front of this byte, and what is behind it.
    fn hex(text: &[u8], end: u8) -> Option<(u64, &[u8])> {
        let length = text.iter().position(|&byte| byte == end).filter(|length| (1..=16).contains(length))?;
        let number = text[..length].iter().try_fold(0, |all: u64, &byte| {
            let digit = char::from(byte).to_digit(16)?;
            Some(all << 4 | u64::from(digit))
        })?;
        Some((number, &text[length + 1..]))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_line_is_read() {
            let line = Line::parse(b"7f3a1000-7f3a2000 r-xp 0001a000 08:02 1835107                    /a b (deleted)")
                .unwrap();
            let path = &b"/a b (deleted)"[..];
            let wanted = Line {
                start: 0x7f3a_1000,
                end: 0x7f3a_2000,
                is_readable: true,
                offset: 0x1_a000,
                inode: 1_835_107,
                path,
            };
            assert_eq!(line, wanted);
            assert_eq!(Line::parse(b"7f3a1000-7f3a2000 ---p 00000000 00:00 0").unwrap().path, b"");
            for wrong in
                ["", "7f", "7f-", "-7f r-xp 0 0 0", "7f3a2000-7f3a1000 r-xp 0 08:02 0 x", "xyz-7f r-xp 0 08:02 0 x"]
            {
                assert_eq!(Line::parse(wrong.as_bytes()), None, "{wrong}");
            }
        }
    }
}
