//! What the ranks of a job do in the tests of the fabric.

use std::io::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::super::fabric::{Fabric, FabricEvent};
use super::super::intake::FabricLimits;
use super::super::start::EXIT_REFUSED;
use super::job::SCENARIO;
use crate::cluster::binding::widen_lone_rank;
use crate::cluster::environment::{ClusterPlan, EnvironmentSnapshot};
use crate::sys::{self, MpiCandidates, MpiLauncher, MpiLibrary, MpiSession, exit_now};

/// A rank that waits for so long for a message has lost it.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn as_a_rank() {
    let Some(scenario) = std::env::var_os(SCENARIO) else { return };
    let plan = ClusterPlan::new(&EnvironmentSnapshot::capture()).unwrap();
    if scenario == "binding" {
        return binding(&plan);
    }
    let limits = match scenario.to_str().unwrap() {
        "segments" if mebibytes() > 256 => FabricLimits::default(),
        "segments" => FabricLimits { segment_bytes: 1 << 20, ..FabricLimits::default() },
        "hostile" => FabricLimits { segment_bytes: 1 << 20, body_bytes_max: 3 << 20 },
        _ => FabricLimits::default(),
    };
    let fabric = Fabric::start_with(&plan.launch, plan.settings.mpi_library, limits);
    let fabric = fabric.unwrap_or_else(|what| {
        say(&format!("poolmap: {what}"));
        exit_now(EXIT_REFUSED)
    });
    let rank = fabric.rank();
    match scenario.to_str().unwrap() {
        "ping_pong" => ping_pong(fabric),
        "many_small" => many_small(fabric),
        "segments" => segments(fabric),
        "crossing" => crossing(fabric),
        "idle" => idle(fabric),
        "hostile" => hostile(fabric),
        "early_end" => early_end(fabric),
        "abort" => abort(fabric),
        "silent" => silent(fabric),
        "death" => death(fabric),
        "twice" => twice(fabric),
        other => panic!("there is no scenario {other}"),
    }
    say(&format!("rank {rank} is done"));
}

/// The only rank of a job: Open MPI has bound it to one core.
fn binding(plan: &ClusterPlan) {
    let bound = sys::allowed_cpus().map(|cpus| cpus.len());
    let explanation = widen_lone_rank(&plan.launch);
    let widened = sys::allowed_cpus().map(|cpus| cpus.len());
    assert_eq!(explanation.is_some(), widened > bound, "{explanation:?}");
    assert_eq!(widen_lone_rank(&plan.launch), None);
    say(&format!("CPUs as the launcher has them: {widened:?}, of {bound:?} that it gave; {explanation:?}"));
}

/// Prints a line in one piece, as the ranks share the output.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// The next event.
fn next(fabric: &mut Fabric) -> FabricEvent {
    let start = Instant::now();
    loop {
        if let Some(event) = fabric.receive().unwrap() {
            return event;
        }
        assert!(start.elapsed() < PATIENCE, "rank {} waits in vain", fabric.rank());
        fabric.wait();
    }
}

/// The next message. Before it, others may have ended.
fn message(fabric: &mut Fabric) -> (usize, Vec<u8>) {
    loop {
        match next(fabric) {
            FabricEvent::Message { from, body } => return (from, body),
            FabricEvent::Ended { .. } => {}
            event => panic!("rank {} saw {event:?}", fabric.rank()),
        }
    }
}

fn end(fabric: Fabric) {
    fabric.finish(9, PATIENCE);
}

/// Bytes that tell where they belong.
fn pattern(seed: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at.wrapping_mul(31) ^ (at >> 12) ^ seed) as u8).collect()
}

fn mebibytes() -> usize {
    std::env::var("POOLMAP_TEST_MPI_MIB").map_or(48, |text| text.parse().unwrap())
}

fn ping_pong(mut fabric: Fabric) {
    let agents = 1..fabric.size();
    for round in 0..1000u32 {
        let ping = round.to_le_bytes().to_vec();
        if fabric.rank() == 0 {
            assert!(agents.clone().all(|agent| fabric.send(agent, ping.clone())));
            for _ in agents.clone() {
                assert_eq!(message(&mut fabric).1, ping);
            }
        } else {
            let (from, body) = message(&mut fabric);
            assert_eq!((from, &body), (0, &ping));
            assert!(fabric.send(0, body));
        }
    }
    // Only the driver and an agent talk to each other, and nobody to itself.
    let own = fabric.rank();
    assert!(!fabric.send(own, Vec::new()) && !fabric.send(99, Vec::new()));
    assert!(own == 0 || !fabric.send(3 - own, Vec::new()));
    end(fabric);
}

fn many_small(mut fabric: Fabric) {
    const COUNT: u32 = 10_000;
    let partners: Vec<usize> = if fabric.rank() == 0 { (1..fabric.size()).collect() } else { vec![0] };
    for number in 0..COUNT {
        let mut body = number.to_le_bytes().to_vec();
        body.resize(4 + number as usize % 50, 7);
        assert!(partners.iter().all(|&partner| fabric.send(partner, body.clone())));
    }
    let mut expected = vec![0u32; fabric.size()];
    for _ in 0..COUNT as usize * partners.len() {
        let (from, body) = message(&mut fabric);
        let number = u32::from_le_bytes(body[..4].try_into().unwrap());
        assert_eq!((number, body.len()), (expected[from], 4 + number as usize % 50), "of rank {from}");
        expected[from] += 1;
    }
    end(fabric);
}

/// The driver sends a large body to one agent, with a small one behind it; the agent sends it back.
fn segments(mut fabric: Fabric) {
    let body = || pattern(1, (mebibytes() << 20) + 77);
    match fabric.rank() {
        0 => {
            assert!(fabric.send(1, body()) && fabric.send(1, b"behind".to_vec()));
            assert!(fabric.bytes_under_way(1) > 0 || mebibytes() == 0);
            let (from, back) = message(&mut fabric);
            assert!(from == 1 && back == body(), "{} bytes came back", back.len());
            assert_eq!(message(&mut fabric), (1, b"behind".to_vec()));
            assert_eq!(fabric.bytes_under_way(1), 0);
        }
        1 => {
            for _ in 0..2 {
                let (_, body) = message(&mut fabric);
                assert!(fabric.send(0, body));
            }
        }
        _ => {}
    }
    end(fabric);
}

fn crossing(mut fabric: Fabric) {
    const COUNT: usize = 30;
    const BYTES: usize = 2 << 20;
    let own = fabric.rank();
    let partners: Vec<usize> = if own == 0 { (1..fabric.size()).collect() } else { vec![0] };
    for number in 0..COUNT {
        assert!(partners.iter().all(|&partner| fabric.send(partner, pattern(own + number, BYTES + number))));
    }
    let mut expected = vec![0; fabric.size()];
    for _ in 0..COUNT * partners.len() {
        let (from, body) = message(&mut fabric);
        let number = expected[from];
        assert!(body == pattern(from + number, BYTES + number), "message {number} of rank {from}");
        expected[from] += 1;
    }
    end(fabric);
}

/// The agents wait for the driver, which waits for two seconds. How much CPU time that takes is printed, and nothing asserts it.
fn idle(mut fabric: Fabric) {
    let before = cpu_ticks();
    let start = Instant::now();
    if fabric.rank() == 0 {
        while start.elapsed() < Duration::from_secs(2) {
            assert_eq!(fabric.receive().unwrap(), None);
            fabric.wait();
        }
        (1..fabric.size()).for_each(|agent| assert!(fabric.send(agent, Vec::new())));
    } else {
        message(&mut fabric);
    }
    say(&format!("rank {} was idle for 2 s, and took {} ms of CPU time", fabric.rank(), (cpu_ticks() - before) * 10));
    end(fabric);
}

/// The processor time of this process, in hundredths of a second (proc(5)).
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// The code of a driver that has seen what it was to see.
pub(super) const SEEN_THE_END: i32 = 5;

/// Rank 1 sends what none may send, and rank 2 a body that is too long. The driver loses both, and ends the job.
fn hostile(mut fabric: Fabric) {
    if fabric.rank() == 0 {
        let mut lost = Vec::new();
        let mut bodies = 0;
        while lost.len() < fabric.size() - 1 {
            match next(&mut fabric) {
                FabricEvent::Lost { rank, why } => lost.push((rank, why)),
                FabricEvent::Message { body, .. } => bodies += usize::from(body == b"fine"),
                event => panic!("{event:?}"),
            }
        }
        lost.sort();
        assert!(lost[0].1.contains("unknown tag 77"), "{lost:?}");
        assert!(lost[1].1.contains("more than 3145728 bytes"), "{lost:?}");
        assert!(bodies == 2 && !fabric.send(1, Vec::new()), "{bodies}");
        // There is no peer any more to end with, so the job is aborted, and the code is its own.
        fabric.finish(SEEN_THE_END, PATIENCE);
        return;
    }
    assert!(fabric.send(0, b"fine".to_vec()));
    let _sending = match fabric.rank() {
        1 => fabric.session.send(0, 77, &Rc::new(vec![1; 3 << 20]), 0..3 << 20).map(Some).unwrap(),
        _ => {
            assert!(fabric.send(0, vec![0; (3 << 20) + 1]));
            None
        }
    };
    loop {
        let _ = fabric.receive();
        fabric.wait();
    }
}

/// An agent ends while the driver goes on with the other.
fn early_end(mut fabric: Fabric) {
    match fabric.rank() {
        0 => {
            assert_eq!(message(&mut fabric), (1, b"last words".to_vec()));
            assert_eq!(next(&mut fabric), FabricEvent::Ended { rank: 1 });
            assert!(!fabric.send(1, Vec::new()));
            for number in 0..100u8 {
                assert!(fabric.send(2, vec![number]));
                assert_eq!(message(&mut fabric), (2, vec![number]));
            }
        }
        1 => assert!(fabric.send(0, b"last words".to_vec())),
        _ => {
            for _ in 0..100 {
                let (_, body) = message(&mut fabric);
                assert!(fabric.send(0, body));
            }
        }
    }
    end(fabric);
}

fn abort(mut fabric: Fabric) {
    if fabric.rank() == 0 {
        (1..fabric.size()).for_each(|_| drop(message(&mut fabric)));
        fabric.abort(7);
    }
    assert!(fabric.send(0, Vec::new()));
    loop {
        let _ = fabric.receive();
        fabric.wait();
    }
}

/// Rank 1 neither ends nor sends; the driver ends the job all the same.
fn silent(fabric: Fabric) {
    match fabric.rank() {
        0 => fabric.finish(3, Duration::from_millis(300)),
        1 => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
        _ => fabric.finish(9, PATIENCE),
    }
}

/// Rank 1 is killed, and the others go on. By hand: `mpirun` of Open MPI 5 with `--with-ft ulfm`, of Open MPI 4 with
/// `--enable-recovery`, where nothing reports the death and the driver gives the rank up by itself.
fn death(mut fabric: Fabric) {
    match fabric.rank() {
        0 => {
            assert_eq!(message(&mut fabric), (1, b"last words".to_vec()));
            let start = Instant::now();
            let lost = loop {
                match fabric.receive().unwrap() {
                    Some(event) => break Some(event),
                    None if start.elapsed() > Duration::from_secs(5) => break None,
                    None => fabric.wait(),
                }
            };
            say(&format!("after {:?} the driver has seen {lost:?}", start.elapsed()));
            fabric.declare_lost(1);
            for number in 0..100u8 {
                assert!(fabric.send(2, vec![number]));
                assert_eq!(message(&mut fabric), (2, vec![number]));
            }
            say("the driver has all results");
        }
        1 => {
            assert!(fabric.send(0, b"last words".to_vec()));
            while fabric.bytes_under_way(0) > 0 {
                assert_eq!(fabric.receive().unwrap(), None);
            }
            std::thread::sleep(Duration::from_millis(300));
            let _ = std::process::Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status();
        }
        _ => {
            for _ in 0..100 {
                let (_, body) = message(&mut fabric);
                assert!(fabric.send(0, body));
            }
        }
    }
    fabric.finish(0, PATIENCE);
}

fn twice(fabric: Fabric) {
    let name = fabric.library().name().into();
    let library = MpiLibrary::load(&MpiCandidates::new(Some(name), MpiLauncher::Unknown)).unwrap();
    let said = MpiSession::begin(library).err().unwrap();
    assert!(said.contains("has started it before") && said.contains("POOLMAP_ENGINE=local"), "{said}");
    assert!(!sys::is_secure());
    end(fabric);
}
