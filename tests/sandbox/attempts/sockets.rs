//! Sockets of every family, and what a descriptor that is there could be made to do.

use nix::libc::*;

use super::Ends::Denied;
use super::{Attempt, attempt, call};

/// The worker's own channel.
const CHANNEL: usize = 3;

fn socket(family: c_int, kind: c_int) -> i64 {
    call(SYS_socket, [family as usize, kind as usize, 0])
}

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt("a socket of files", Denied("socket"), || socket(AF_UNIX, SOCK_STREAM)),
    attempt("TCP", Denied("socket"), || socket(AF_INET, SOCK_STREAM)),
    attempt("TCP by std", Denied("socket"), || i64::from(std::net::TcpStream::connect("127.0.0.1:22").is_ok())),
    attempt("UDP", Denied("socket"), || socket(AF_INET, SOCK_DGRAM)),
    attempt("TCP over IPv6", Denied("socket"), || socket(AF_INET6, SOCK_STREAM)),
    attempt("raw packets", Denied("socket"), || socket(AF_PACKET, SOCK_RAW)),
    attempt("netlink", Denied("socket"), || socket(AF_NETLINK, SOCK_RAW)),
    attempt("vsock", Denied("socket"), || socket(AF_VSOCK, SOCK_STREAM)),
    attempt("ciphers of the kernel", Denied("socket"), || socket(AF_ALG, SOCK_SEQPACKET)),
    attempt("bluetooth", Denied("socket"), || socket(AF_BLUETOOTH, SOCK_RAW)),
    attempt("a pair", Denied("socketpair"), || {
        let mut pair = [0_i32; 2];
        call(SYS_socketpair, [AF_UNIX as usize, SOCK_STREAM as usize, 0, pair.as_mut_ptr().addr()])
    }),
    attempt("connect the channel elsewhere", Denied("connect"), || {
        let address = *b"\x01\x00\x00poolmap";
        call(SYS_connect, [CHANNEL, address.as_ptr().addr(), address.len()])
    }),
    attempt("bind the channel", Denied("bind"), || {
        let address = *b"\x01\x00\x00poolmap";
        call(SYS_bind, [CHANNEL, address.as_ptr().addr(), address.len()])
    }),
    attempt("listen", Denied("listen"), || call(SYS_listen, [CHANNEL, 1])),
    attempt("accept", Denied("accept4"), || call(SYS_accept4, [CHANNEL, 0, 0, 0])),
    attempt("an option of the channel", Denied("setsockopt"), || {
        let value = 1_i32;
        call(SYS_setsockopt, [CHANNEL, SOL_SOCKET as usize, SO_PASSCRED as usize, (&raw const value).addr(), 4])
    }),
    attempt("connect by sending", Denied("sendto"), || call(SYS_sendto, [CHANNEL, 0, 0, MSG_FASTOPEN as usize, 0, 0])),
    attempt("many messages", Denied("sendmmsg"), || call(SYS_sendmmsg, [CHANNEL, 0, 0, 0])),
];
