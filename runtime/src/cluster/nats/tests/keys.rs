//! Keys, passwords, credentials and certificates: those that the server knows are accepted, the others are refused without being shown.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::cast::{Agent, Driver, at_once, options, watchdog, works};
use super::credentials::{USER, USER_OF_ANOTHER_ACCOUNT, USER_SEED, credentials, operator_settings};
use super::refusals::{assert_says, errors};
use super::server::{Server, folder, has_server};
use crate::cluster::engine::ClusterEngine;
use crate::cluster::nats::NatsOptions;

/// A driver and an agent with these options run some work.
fn serves(options: &NatsOptions) {
    let mut driver = Driver::connect(options.clone());
    let _agent = Agent::start(options.clone(), 1, at_once());
    driver.wait_for_nodes(1);
    works(5).for_each(|work| driver.give(work));
    driver.until_all_done();
    driver.engine.close(0);
}

#[test]
fn a_key_does_not_go_to_another_machine_in_the_clear() {
    let _watchdog = watchdog();
    let key = folder().join("key");
    fs::write(&key, "SUAM\n").unwrap();
    let with_key = NatsOptions { nkey: Some(key.clone()), ..options("nats://192.0.2.1:4222") };
    assert_says(&with_key, &["nats://192.0.2.1:4222", "in the clear", "tls://192.0.2.1:4222", "POOLMAP_INSECURE=1"]);
    let with_password = options("nats://user:hidden@192.0.2.1:4222");
    for error in errors(&with_password) {
        assert!(error.contains("in the clear") && !error.contains("hidden"), "{error}");
    }
    let missing = NatsOptions { creds: Some("/nowhere/creds".into()), ..options("tls://127.0.0.1:1") };
    assert_says(&missing, &["POOLMAP_NATS_CREDS", "/nowhere/creds"]);
    fs::remove_dir_all(key.parent().unwrap()).unwrap();
}

#[test]
fn a_wrong_password_is_said_and_not_shown() {
    if !has_server() {
        return;
    }
    let _watchdog = watchdog();
    let server = Server::with(&["-js", "--user", "poolmap", "--pass", "right"], folder());
    let with = |password: &str| options(&format!("nats://poolmap:{password}@127.0.0.1:{}", server.port));
    for error in errors(&with("hidden")) {
        assert!(error.contains("refuses") && error.contains("POOLMAP_NATS_CREDS"), "{error}");
        assert!(!error.contains("hidden"), "{error}");
    }
    let driver = Driver::connect(with("right"));
    assert!(!driver.engine.description().contains("right"));
    driver.engine.close(0);
}

/// Keys that were made for these tests: their seeds, and what a server knows of the first.
const SEED: &str = "SUAEGGEE2RZCS2OJSMJABGHWK24VT4OSITWYFL4KSSWDXQHZXRA25OSXIE";
const PUBLIC: &str = "UDAQAXLJVABBEVSFMF3QDAZB2GKMIXTH57TCXK4TBVWSD6YAFCJNA5FS";
const OTHER_SEED: &str = "SUANIUUCGFQWN4M47WUDCQHCFTDGRC47YQ7DOFM5TJFZ3DDVL4XNPHDOQY";

#[test]
fn a_key_that_the_server_knows_is_accepted_and_no_other() {
    if !has_server() {
        return;
    }
    let _watchdog = watchdog();
    let own = folder();
    let file = |name: &str, text: &str| {
        let path = own.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let settings = file("settings", &format!("authorization {{ users = [ {{ nkey: {PUBLIC} }} ] }}\n"));
    let (known, unknown) = (file("known", &format!("{SEED}\n")), file("unknown", OTHER_SEED));
    let (torn, empty) = (file("torn", &SEED[..40]), file("empty", "nothing\n"));
    let server = Server::with(&["-js", "-c", settings.to_str().unwrap()], own);
    let with = |key: &Path| NatsOptions { nkey: Some(key.to_owned()), ..options(&server.url()) };
    assert_says(&options(&server.url()), &["refuses a connection without a key", "POOLMAP_NATS_NKEY"]);
    assert_says(&with(&unknown), &[&server.url(), "refuses the key in", "unknown", "POOLMAP_NATS_NKEY"]);
    assert_says(&with(&torn), &["the key in", "torn", "is no key of NATS", "nk -gen user"]);
    let creds = NatsOptions { creds: Some(empty), ..options(&server.url()) };
    assert_says(&creds, &["POOLMAP_NATS_CREDS", "empty", "holds no credentials"]);
    for secret in [SEED, OTHER_SEED, &SEED[..40]] {
        for options in [with(&unknown), with(&torn)] {
            assert!(errors(&options).iter().all(|error| !error.contains(secret)));
        }
    }
    serves(&with(&known));
}

#[test]
fn credentials_of_an_account_that_the_server_knows_are_accepted_and_no_others() {
    if !has_server() {
        return;
    }
    let _watchdog = watchdog();
    let own = folder();
    let file = |name: &str, text: String| {
        let path = own.join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let creds = |name: &str, jwt: &str| file(name, credentials(jwt));
    let settings = file("settings", operator_settings());
    let (known, stranger) = (creds("known", USER), creds("stranger", USER_OF_ANOTHER_ACCOUNT));
    let server = Server::with(&["-js", "-c", settings.to_str().unwrap()], own.clone());
    let with = |creds: &Path| NatsOptions { creds: Some(creds.to_owned()), ..options(&server.url()) };
    assert_says(&options(&server.url()), &["refuses a connection without a key", "POOLMAP_NATS_CREDS"]);
    assert_says(&with(&stranger), &[&server.url(), "refuses the credentials in", "stranger", "POOLMAP_NATS_CREDS"]);
    assert!(errors(&with(&stranger)).iter().all(|error| !error.contains(USER_SEED)));
    serves(&with(&known));
}

/// A certificate authority of the test's own, and a certificate of this machine that it has signed.
fn certificates(folder: &Path) -> Option<[PathBuf; 3]> {
    let openssl = |args: &[&str]| {
        let mut command = Command::new("openssl");
        let run = command.args(args).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
        run.status().is_ok_and(|status| status.success())
    };
    fs::write(folder.join("san"), "subjectAltName=IP:127.0.0.1,DNS:localhost").unwrap();
    let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let authority = ["req", "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2"];
    let request = ["req", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost"];
    let sign = ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    let made = openssl(&[&authority[..], &new_key].concat())
        && openssl(&[&request[..], &new_key].concat())
        && openssl(&[&sign[..], &["-out", "server.pem", "-days", "2", "-extfile", "san"]].concat());
    made.then(|| ["ca.pem", "server.pem", "server.key"].map(|name| folder.join(name)))
}

#[test]
fn a_server_that_the_authority_does_not_know_is_refused() {
    if !has_server() {
        return;
    }
    let _watchdog = watchdog();
    let (own, foreign) = (folder(), folder());
    let (Some([ca, certificate, key]), Some([other, ..])) = (certificates(&own), certificates(&foreign)) else {
        return eprintln!("SKIPPED: openssl is missing");
    };
    let paths = [&certificate, &key].map(|path| path.to_str().unwrap());
    let server = Server::with(&["-js", "--tls", "--tlscert", paths[0], "--tlskey", paths[1]], own);
    let url = format!("tls://127.0.0.1:{}", server.port);
    let with = |ca: &PathBuf| NatsOptions { ca: Some(ca.clone()), ..options(&url) };
    assert_says(&with(&other), &[&url, "not trusted", "POOLMAP_NATS_CA"]);
    serves(&with(&ca));
    fs::remove_dir_all(foreign).unwrap();
}
