//! A program whose workers are in namespaces, to be run as root, as a user, and where the system refuses them. It checks what it has to,
//! or says what its pool has. (A test program has a second thread, with which a user enters no namespace of users.)

#[cfg(target_os = "linux")]
#[path = "namespaced/checks.rs"]
mod checks;
#[cfg(target_os = "linux")]
#[path = "namespaced/surroundings.rs"]
mod surroundings;

#[poolmap::main]
fn main() {
    #[cfg(target_os = "linux")]
    checks::run(&std::env::args().nth(1).unwrap());
}
