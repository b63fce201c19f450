//! Speaks to a server in its own protocol, as somebody else would who does harm.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use super::server::Server;

/// Deletes the streams of works and of results of a session, by the engine's description of it.
pub(super) fn delete_streams(server: &Server, description: &str) {
    let session = description.rsplit(' ').next().unwrap();
    for stream in [format!("pm-W-{session}"), format!("pm-R-{session}")] {
        let answer = request(server, &format!("$JS.API.STREAM.DELETE.{stream}"), "");
        assert!(answer.contains("\"success\":true"), "{answer}");
    }
}

/// Publishes a message.
pub(super) fn publish(server: &Server, subject: &str, body: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    write!(stream, "CONNECT {{\"verbose\":false}}\r\nPUB {subject} {}\r\n", body.len()).unwrap();
    stream.write_all(body).unwrap();
    stream.write_all(b"\r\nPING\r\n").unwrap();
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "PONG\r\n");
}

fn request(server: &Server, subject: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    lines.read_line(&mut String::new()).unwrap();
    write!(
        stream,
        "CONNECT {{\"verbose\":false}}\r\nSUB answer 1\r\nPUB {subject} answer {}\r\n{body}\r\n",
        body.len()
    )
    .unwrap();
    loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the server has ended");
        if line.starts_with("MSG") {
            line.clear();
            lines.read_line(&mut line).unwrap();
            return line;
        }
    }
}
