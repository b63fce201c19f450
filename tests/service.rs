//! A service that hands requests to workers, with real clients, and with clients that leave (`examples/service.rs`).

mod common;
#[allow(dead_code)]
#[path = "../examples/service.rs"]
mod example;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::{StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use poolmap::{Pool, worker};
use tokio::task::JoinSet;

const HOUR_MILLIS: u64 = 3_600_000;

#[worker]
fn hang() {
    loop {
        std::thread::park();
    }
}

#[worker]
fn double(x: u64) -> u64 {
    2 * x
}

/// Serves on a free port, until the runtime ends.
async fn serve(pool: &Arc<Pool>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, example::service(Arc::clone(pool))).into_future());
    address
}

fn client() -> Client<HttpConnector, Body> {
    Client::builder(TokioExecutor::new()).build_http()
}

async fn get(client: Client<HttpConnector, Body>, address: SocketAddr, millis: u64) -> (StatusCode, String) {
    let uri: Uri = format!("http://{address}/work/{millis}").parse().unwrap();
    let response = client.get(uri).await.unwrap();
    let status = response.status();
    let body = to_bytes(Body::new(response.into_body()), 1 << 20).await.unwrap();
    (status, common::text(&body))
}

/// Sends as many requests at once, each over a connection of its own, and waits for the answers.
async fn all_are_answered(address: SocketAddr, requests: usize) {
    let mut answers = JoinSet::new();
    for _ in 0..requests {
        answers.spawn(get(client(), address, 1));
    }
    while let Some(answer) = answers.join_next().await {
        let (status, text) = answer.unwrap();
        assert!(status == StatusCode::OK && text.starts_with("done in process "), "{status}: {text}");
    }
}

/// Runs under a runtime of its own, which begins and ends within the guard of its test.
fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

async fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < common::SOON, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[poolmap::test]
fn clients_that_leave_cost_a_service_nothing() {
    let _guard = common::guard();
    block_on(async {
        let pool = Arc::new(common::pool(4));
        let address = serve(&pool).await;
        all_are_answered(address, 100).await;
        for _ in 0..3 {
            let mut leaving = JoinSet::new();
            for _ in 0..20 {
                leaving.spawn(get(client(), address, HOUR_MILLIS));
            }
            let stats = || pool.stats();
            wait_until("the requests are there", || stats().busy_workers() == 4 && stats().tasks_waiting() == 16).await;
            leaving.shutdown().await;
            wait_until("no worker is busy", || stats().busy_workers() == 0 && stats().tasks_waiting() == 0).await;
            let left = Instant::now();
            all_are_answered(address, 100).await;
            println!("100 requests, all at once, after 20 clients had left: {:?}", left.elapsed());
        }
        assert_eq!(pool.stats().workers_lost(), 0);
    });
}

#[poolmap::test]
fn a_service_refuses_what_would_wait_too_long() {
    let _guard = common::guard();
    block_on(async {
        let pool = Arc::new(Pool::builder().workers(1).max_waiting(2).build().unwrap());
        pool.ready().unwrap();
        let address = serve(&pool).await;
        let mut leaving = JoinSet::new();
        for _ in 0..3 {
            leaving.spawn(get(client(), address, HOUR_MILLIS));
        }
        wait_until("two wait", || pool.stats().tasks_waiting() == 2).await;
        let (status, text) = get(client(), address, 1).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
        leaving.shutdown().await;
        wait_until("no call waits", || pool.stats().tasks_waiting() == 0).await;
        all_are_answered(address, 1).await;
    });
}

/// The aim is 0.2 s, on a machine that is not busy.
#[poolmap::test]
fn calls_that_hang_and_are_given_up_leave_their_workers() {
    let _guard = common::guard();
    block_on(async {
        let pool = common::pool(4);
        pool.ready().unwrap();
        for _ in 0..3 {
            let hanging: Vec<_> = (0..4).map(|_| pool.submit(hang {}).unwrap().abort_on_drop()).collect();
            let all = async {
                for handle in hanging {
                    handle.await.unwrap();
                }
            };
            assert!(tokio::time::timeout(Duration::from_secs(1), all).await.is_err());
            let given_up = Instant::now();
            assert_eq!(pool.submit(double { x: 4 }).unwrap().await.unwrap(), 8);
            let after = given_up.elapsed();
            println!("the next call was served {after:?} after four that hung were given up");
            assert!(after < common::SOON, "{after:?}");
        }
    });
}
