//! The statistics of a pool, for Prometheus, which this program plays once by itself. `cargo run --release --example prometheus`

use axum::{Router, body::Body, routing::get};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use poolmap::{Pool, global_pool, pool_map, worker};
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text};
use prometheus_client::{collector::Collector, metrics::MetricType, registry::Registry, registry::Unit};

#[worker]
fn square(x: u64) -> u64 {
    x * x
}

#[derive(Debug)]
struct PoolMetrics(&'static Pool);

impl Collector for PoolMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let stats = self.0.stats();
        for (name, times) in [("poolmap_waiting", stats.waiting()), ("poolmap_running", stats.running())] {
            let mut buckets: Vec<_> = times.buckets().map(|(end, count)| (end.as_secs_f64(), count)).collect();
            buckets[34].0 = f64::INFINITY; // The last has no end.
            let mut metric = encoder.encode_descriptor(name, "time", Some(&Unit::Seconds), MetricType::Histogram)?;
            metric.encode_histogram::<NoLabelSet>(times.sum().as_secs_f64(), times.count(), &buckets, None)?;
        }
        let mut failed = encoder.encode_descriptor("poolmap_tasks_failed", "all", None, MetricType::Counter)?;
        failed.encode_counter::<NoLabelSet, u64, u64>(&stats.tasks_failed(), None)?;
        let mut deaths = encoder.encode_descriptor("poolmap_deaths", "of workers", None, MetricType::Counter)?;
        for (cause, count) in stats.deaths().iter().map(|(cause, count)| ([("cause", cause.to_string())], count)) {
            deaths.encode_family(&cause)?.encode_counter::<NoLabelSet, u64, u64>(&count, None)?;
        }
        Ok(())
    }
}

#[poolmap::main]
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let registry: &mut Registry = Box::leak(Box::default());
    registry.register_collector(Box::new(PoolMetrics(global_pool().unwrap())));
    let (registry, mut text) = (&*registry, String::new());
    let page = move || async move { prometheus_text::encode(&mut text, registry).map_or(String::new(), |()| text) };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, Router::new().route("/metrics", get(page))).into_future());
    pool_map!(square, 0..1000).unwrap();
    let answer = Client::builder(TokioExecutor::new()).build_http::<Body>().get(url.parse().unwrap()).await.unwrap();
    let page = axum::body::to_bytes(Body::new(answer.into_body()), 1 << 20).await.unwrap().to_vec();
    assert!(String::from_utf8(page).unwrap().contains("poolmap_running_seconds_bucket{le=\"+Inf\"} 1000"));
}
