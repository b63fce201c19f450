//! What a thread finds out about where it is, by system calls that its sandbox allows; and where its parent listens.

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrLike, UnixAddr, socket};

/// The findings of a thread about where it is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Surroundings {
    /// The number of its network, which no other has (socket(7), SO_NETNS_COOKIE).
    pub(crate) network: u64,
    /// The outcomes of a datagram to a port of this machine, and to two sockets of files; 0 is success.
    pub(crate) udp: i32,
    pub(crate) by_path: i32,
    pub(crate) abstract_name: i32,
    /// Of asking for the size of a file.
    pub(crate) size: i32,
    /// The numbers of the device and the file that are the root.
    pub(crate) root: (u64, u64),
}

/// Where the parent listens.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Listeners {
    pub(crate) port: u16,
    pub(crate) path: PathBuf,
    pub(crate) abstract_name: Vec<u8>,
    pub(crate) file: PathBuf,
}

fn io_code(result: std::io::Result<impl Sized>) -> i32 {
    result.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |_| 0)
}

/// Looks around, by system calls that the sandbox allows.
#[allow(unsafe_code, reason = "nix does not have the option")]
pub(crate) fn look_around(listeners: &Listeners) -> Surroundings {
    const SO_NETNS_COOKIE: libc::c_int = 71;

    let open = |family| socket(family, SockType::Datagram, SockFlag::SOCK_NONBLOCK, None).unwrap();
    let (udp, unix) = (open(AddressFamily::Inet), open(AddressFamily::Unix));
    let (mut network, mut length) = (0_u64, size_of::<u64>() as libc::socklen_t);
    // SAFETY: the socket is open; the number and its length live through the call.
    let asked = unsafe {
        let (to, length) = ((&raw mut network).cast(), &raw mut length);
        libc::getsockopt(udp.as_raw_fd(), libc::SOL_SOCKET, SO_NETNS_COOKIE, to, length)
    };
    assert_eq!(asked, 0);
    let udp_address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: listeners.port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(std::net::Ipv4Addr::LOCALHOST).to_be() },
        sin_zero: [0; 8],
    };
    let send = |socket: &OwnedFd, address: *const libc::sockaddr, length: usize| {
        // SAFETY: the address is one of those below, which live through the call, and is as long as it says.
        let sent =
            unsafe { libc::sendto(socket.as_raw_fd(), b"x".as_ptr().cast(), 1, 0, address, length as libc::socklen_t) };
        if sent == 1 { 0 } else { nix::errno::Errno::last_raw() }
    };
    let send_by_name = |address: UnixAddr| send(&unix, address.as_ptr().cast(), address.len() as usize);
    let root = std::fs::metadata("/").map_or((0, 0), |root| (root.dev(), root.ino()));
    Surroundings {
        network,
        udp: send(&udp, (&raw const udp_address).cast(), size_of_val(&udp_address)),
        by_path: send_by_name(UnixAddr::new(&listeners.path).unwrap()),
        abstract_name: send_by_name(UnixAddr::new_abstract(&listeners.abstract_name).unwrap()),
        size: io_code(std::fs::metadata(&listeners.file)),
        root,
    }
}

/// The parent's sockets.
pub(crate) struct Heard {
    pub(crate) listeners: Listeners,
    udp: UdpSocket,
    unix: [UnixDatagram; 2],
    folder: PathBuf,
}

impl Heard {
    pub(crate) fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("poolmap-namespaced-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let (path, file) = (folder.join("socket"), folder.join("file"));
        std::fs::write(&file, "secret").unwrap();
        let abstract_name = format!("poolmap-namespaced-{}", std::process::id()).into_bytes();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let unix = [UnixDatagram::bind(&path).unwrap(), UnixDatagram::bind_addr(&address).unwrap()];
        unix.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
        let port = udp.local_addr().unwrap().port();
        Self { listeners: Listeners { port, path, abstract_name, file }, udp, unix, folder }
    }

    /// How many datagrams have come: by UDP, by the path, by the abstract name.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let mut room = [0; 8];
        let mut count = |receive: &dyn Fn(&mut [u8]) -> std::io::Result<usize>| {
            let mut count = 0;
            loop {
                match receive(&mut room) {
                    Ok(_) => count += 1,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return count,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        [
            count(&|room| self.udp.recv(room)),
            count(&|room| self.unix[0].recv(room)),
            count(&|room| self.unix[1].recv(room)),
        ]
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
