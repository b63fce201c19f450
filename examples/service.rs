//! A service under axum: each request is one call in a worker. A client that leaves costs nothing: its call ends, and the worker is
//! free. `cargo run --release --example service`

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use poolmap::{Error, Pool, worker};

/// Stands for work that may take long, hang or crash.
#[worker]
fn work(millis: u64) -> String {
    std::thread::sleep(Duration::from_millis(millis));
    format!("done in process {}", std::process::id())
}

fn failed(error: Error) -> (StatusCode, String) {
    let status = match () {
        () if error.is_full() => StatusCode::SERVICE_UNAVAILABLE,
        () if error.is_deadline() => StatusCode::GATEWAY_TIMEOUT,
        () => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, format!("{error:#}"))
}

async fn answer(State(pool): State<Arc<Pool>>, Path(millis): Path<u64>) -> Result<String, (StatusCode, String)> {
    let call = pool.call(work { millis }).deadline(Duration::from_secs(30));
    // axum drops this future when the client leaves, and with it the handle.
    call.submit().map_err(failed)?.abort_on_drop().await.map_err(failed)
}

pub(crate) fn service(pool: Arc<Pool>) -> Router {
    Router::new().route("/work/{millis}", get(answer)).with_state(pool)
}

#[poolmap::main]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A request that would wait behind 1,000 others is refused at once.
    let pool = Pool::builder().max_waiting(1000).build()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("for 3 s: curl http://{}/work/100", listener.local_addr()?);
    let end = tokio::time::sleep(Duration::from_secs(3));
    Ok(axum::serve(listener, service(Arc::new(pool))).with_graceful_shutdown(end).await?)
}
