//! The connection to the server, with its keys. It is made once, and the client makes it again for ever when it is lost.
//!
//! 1. No key goes in the clear to another machine, unless the user says that it may.
//! 2. Whatever is wrong at the start is one error, which names the server and what to do; where nobody answers, within [`START_TIME`]. No
//!    text has a secret.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event as ClientEvent, ServerAddr};
use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::options::NatsOptions;
use crate::cluster::driver::tell;
use crate::error::{Error, Result};

/// The first connection stands within this, or is an error.
const START_TIME: Duration = Duration::from_millis(2800);
/// One attempt to connect.
const ATTEMPT_TIME: Duration = Duration::from_millis(2500);
/// A request is asked again after this.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// A connection whose other machine is gone without a word is noticed after two of these.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Asks what an account may have of JetStream, and what its answer has where that is nothing.
const ACCOUNT_SUBJECT: &str = "$JS.API.INFO";
const ERROR_FIELD: &[u8] = b"\"error\":";
const RECONNECT_FIRST: Duration = Duration::from_millis(200);
const RECONNECT_MAX: Duration = Duration::from_secs(5);

/// A connection to a server that has JetStream.
pub(super) struct NatsConnection {
    pub(super) client: Client,
    pub(super) context: Context,
    /// Whether the connection stands, each time that it changes.
    pub(super) changes: UnboundedReceiver<bool>,
    /// The server, without secrets.
    pub(super) address: String,
}

/// Connects to the server.
///
/// # Errors
///
/// The address or a key cannot be used; nobody answers; the server refuses the key, is not the one that the certificates say, or has no
/// JetStream.
pub(super) async fn connect(options: &NatsOptions, role: &str) -> Result<NatsConnection> {
    let server: ServerAddr = options
        .url
        .parse()
        .map_err(|_| Error::invalid_option("POOLMAP_ENGINE must be nats://HOST:PORT or tls://HOST:PORT"))?;
    let address = format!("{}://{}:{}", server.scheme(), server.host(), server.port());
    check_secrecy(options, &server, &address)?;
    let (sender, mut changes) = unbounded_channel();
    let settings = with_keys(ConnectOptions::new(), options, &server)?
        .name(format!("poolmap {role} on {}", options.identity.host))
        .connection_timeout(ATTEMPT_TIME)
        .request_timeout(Some(REQUEST_TIME))
        .ping_interval(PING_INTERVAL)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |event| {
            match event {
                ClientEvent::Connected => drop(sender.send(true)),
                ClientEvent::Disconnected => drop(sender.send(false)),
                _ => {}
            }
            std::future::ready(())
        });
    let connected = timeout(START_TIME, settings.connect(server)).await.map_err(|_| silent(&address))?;
    let client = connected.map_err(|error| refused(&error, &address, options))?;
    let context = jetstream::new(client.clone());
    check_jetstream(&client, &address).await?;
    // The first change says that the connection stands, which is known.
    while changes.try_recv().is_ok() {}
    Ok(NatsConnection { client, context, changes, address })
}

fn with_keys(settings: ConnectOptions, options: &NatsOptions, server: &ServerAddr) -> Result<ConnectOptions> {
    let mut settings = settings;
    if let Some(path) = &options.ca {
        read("POOLMAP_NATS_CA", path)?;
        settings = settings.add_root_certificates(path.clone());
    }
    if let Some(path) = &options.creds {
        let text = read("POOLMAP_NATS_CREDS", path)?;
        let unfit = |_| Error::invalid_option(format!("`POOLMAP_NATS_CREDS`: {} holds no credentials", path.display()));
        settings = settings.credentials(&text).map_err(unfit)?;
    } else if let Some(path) = &options.nkey {
        settings = settings.nkey(read("POOLMAP_NATS_NKEY", path)?.trim().to_owned());
    } else if let (Some(user), Some(password)) = (server.username(), server.password()) {
        settings = settings.user_and_password(user.to_owned(), password.to_owned());
    } else if let Some(token) = server.username() {
        settings = settings.token(token.to_owned());
    }
    Ok(settings)
}

fn read(variable: &str, path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| Error::invalid_option(format!("`{variable}`: could not read {}: {error}", path.display())))
}

/// Refuses to send a key in the clear (rule 1), and warns where everybody can connect.
fn check_secrecy(options: &NatsOptions, server: &ServerAddr, address: &str) -> Result<()> {
    if server.tls_required() || is_loopback(server.host()) {
        return Ok(());
    }
    let has_key = options.creds.is_some() || options.nkey.is_some() || server.username().is_some();
    if has_key && !options.is_insecure {
        return Err(Error::invalid_option(format!(
            "a key would go to {address} in the clear: use tls://{}:{}, or set POOLMAP_INSECURE=1 in a network that nobody else uses",
            server.host(),
            server.port(),
        )));
    }
    if !has_key {
        tell(&format!(
            "{address} takes everybody who can reach it, and they can call this program's worker functions: use tls:// and a key"
        ));
    }
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// 200 ms, doubled up to 5 s. The first attempt of all is the program's start, and does not wait.
fn reconnect_delay(attempts: usize) -> Duration {
    match attempts {
        0 | 1 => Duration::ZERO,
        _ => (RECONNECT_FIRST * (1 << (attempts - 2).min(5))).min(RECONNECT_MAX),
    }
}

async fn check_jetstream(client: &Client, address: &str) -> Result<()> {
    let without = |why: &str| {
        Error::start(format!(
            "the NATS server at {address} has no JetStream ({why}): start it with `nats-server -js`, or enable `jetstream` in its \
             configuration and for this account"
        ))
    };
    if !client.server_info().jetstream {
        return Err(without("it says so itself"));
    }
    // The client's own question cannot read the answer of a server of 2.9.
    match client.request(ACCOUNT_SUBJECT, Bytes::new()).await {
        Ok(answer) if answer.payload.windows(ERROR_FIELD.len()).any(|part| part == ERROR_FIELD) => {
            Err(without("this account has none"))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(without(&error.to_string())),
    }
}

fn silent(address: &str) -> Error {
    Error::start(format!(
        "the NATS server at {address} does not answer: POOLMAP_ENGINE names it; does it run, and can this machine reach it?"
    ))
}

/// Says why the first connection does not stand.
fn refused(error: &ConnectError, address: &str, options: &NatsOptions) -> Error {
    use std::error::Error as _;
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    let key = match (&options.creds, &options.nkey) {
        (Some(path), _) => format!("the credentials in {}", path.display()),
        (None, Some(path)) => format!("the key in {}", path.display()),
        (None, None) => "a connection without a key".to_owned(),
    };
    let is_of_tls = error.kind() == ConnectErrorKind::Tls || cause.contains("certificate") || cause.contains("TLS");
    match error.kind() {
        ConnectErrorKind::TimedOut => silent(address),
        ConnectErrorKind::Authentication => {
            Error::start(format!("{key} is no key of NATS: `nk -gen user` makes one for the server at {address}"))
        }
        ConnectErrorKind::AuthorizationViolation => Error::start(format!(
            "the NATS server at {address} refuses {key}: POOLMAP_NATS_CREDS or POOLMAP_NATS_NKEY names a file with one that it knows"
        )),
        _ if is_of_tls => Error::start(format!(
            "the NATS server at {address} is not trusted: {cause}; POOLMAP_NATS_CA names the file with the certificate that signed its"
        )),
        _ => Error::start(format!(
            "could not connect to the NATS server at {address}: {cause}; POOLMAP_ENGINE names it: does it run there?"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnecting_takes_200_ms_and_then_up_to_5_s() {
        let delays: Vec<u128> = (1..9).map(|attempts| reconnect_delay(attempts).as_millis()).collect();
        assert_eq!(delays, [0, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(reconnect_delay(usize::MAX), RECONNECT_MAX);
    }

    #[test]
    fn only_this_machine_is_on_the_loopback() {
        for host in ["localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["10.0.0.1", "localhost.example.org", "127.0.0.1.example.org", "", "[::2]"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
