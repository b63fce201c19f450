//! Values that describe themselves, as `Json`.

mod common;

use std::collections::BTreeMap;

use poolmap::{Json, Pool, Process, TaskErrorKind, pool_map, pool_try_map, shared, worker};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i32),
    Text(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Circle { radius: f64 },
    Point,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flattened {
    a: i32,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Job {
    name: String,
    parts: Vec<Json<Untagged>>,
    options: Option<Json<Value>>,
}

#[worker]
fn echo(value: Json<Value>) -> Json<Value> {
    value
}

#[worker]
fn twice(value: &Json<Untagged>) -> Json<Untagged> {
    Json(match &value.0 {
        Untagged::Number(number) => Untagged::Number(2 * number),
        Untagged::Text(text) => Untagged::Text(text.repeat(2)),
    })
}

#[worker]
fn area(Json(shape): Json<Tagged>) -> f64 {
    match shape {
        Tagged::Circle { radius } => radius * radius,
        Tagged::Point => 0.0,
    }
}

#[worker]
fn run(job: Job, flattened: &Json<Flattened>) -> Result<(Job, i32), String> {
    let extra = flattened.rest.get("b").and_then(Value::as_i64).ok_or("no b")?;
    Ok((job, flattened.a + extra as i32))
}

#[worker]
fn level(levels: usize) -> Json<Value> {
    Json((0..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner])))
}

#[worker]
fn not_a_number() -> Json<f64> {
    Json(f64::NAN)
}

#[poolmap::test]
fn values_that_describe_themselves_travel_there_and_back() {
    let _guard = common::guard();
    let values: Vec<Value> = (0..100).map(|n| json!({"n": n, "list": [n, null, 0.1 * f64::from(n), "ü"]})).collect();
    assert_eq!(
        pool_map!(echo, values.iter().cloned().map(Json)).unwrap(),
        values.iter().cloned().map(Json).collect::<Vec<_>>()
    );
    let untagged = [Untagged::Number(4), Untagged::Text("ab".to_owned())];
    let doubled = [Json(Untagged::Number(8)), Json(Untagged::Text("abab".to_owned()))];
    assert_eq!(pool_map!(twice, untagged.iter().map(Json)).unwrap(), doubled);
    assert_eq!(pool_map!(twice, untagged.clone().map(Json)).unwrap(), doubled);
    assert_eq!(pool_map!(twice, &untagged.map(Json)).unwrap(), doubled);
    assert_eq!(pool_map!(area, [Json(Tagged::Circle { radius: 3.0 }), Json(Tagged::Point)]).unwrap(), [9.0, 0.0]);
}

#[poolmap::test]
fn they_stand_inside_of_other_values_and_are_shared() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let job = |n: i32| Job {
        name: format!("{n}"),
        parts: vec![Json(Untagged::Number(n)), Json(Untagged::Text("x".to_owned()))],
        options: (n % 2 == 0).then(|| Json(json!({"n": n}))),
    };
    let flattened = Json(Flattened { a: 1, rest: BTreeMap::from([("b".to_owned(), json!(10))]) });
    let outcomes = pool_map!(in &pool, run, (0..4).map(job), shared(&flattened)).unwrap();
    assert_eq!(outcomes, (0..4).map(|n| (job(n), 11)).collect::<Vec<_>>());
    let missing = Json(Flattened { a: 1, rest: BTreeMap::new() });
    let error = pool.apply(run { job: job(1), flattened: missing }).unwrap_err();
    assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Failed(_)));
    let mut process = Process::new(echo { value: json!([1]).into() }).start().unwrap();
    assert_eq!(process.join().unwrap().0, json!([1]));
}

#[poolmap::test]
fn what_json_cannot_hold_is_an_error_of_the_task_alone() {
    let _guard = common::guard();
    let pool = Pool::builder().workers(1).build().unwrap();
    let outcomes = pool_try_map!(in &pool, level, [1, 127, 128, 1000, 3]).unwrap();
    let is_ok: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(is_ok, [true, true, false, false, true]);
    let error = outcomes[2].as_ref().unwrap_err();
    assert!(
        matches!(error.kind(), TaskErrorKind::Encode(_)) && format!("{error:#}").contains("127 levels"),
        "{error:#}"
    );
    let deep = (0..128).fold(Value::Null, |inner, _| json!([inner]));
    let error = pool_map!(in &pool, echo, [Json(deep)]).unwrap_err();
    assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Encode(_)), "{error:#}");
    let error = pool.apply(not_a_number {}).unwrap_err();
    assert!(matches!(error.task().unwrap().kind(), TaskErrorKind::Decode(_)), "{error:#}");
    assert!(format!("{error:#}").contains("as JSON: invalid type: null"), "{error:#}");
}
