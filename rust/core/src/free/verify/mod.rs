//! The protocol under loom, part by part and then whole (`PROTOCOL.md`, "How it is tested"; run by `make loom`).

mod parts;
mod whole;

use std::sync::Arc;
use std::time::Instant;

/// Runs `model` in every interleaving with at most this many preemptions (`None`: in every interleaving), and in each
/// with every value that its loads may see.
fn check(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut loom = loom::model::Builder::new();
    loom.preemption_bound = loom.preemption_bound.or(preemptions);
    loom.max_branches = 20_000;
    let executions = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let (counted, start) = (Arc::clone(&executions), Instant::now());
    loom.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        model();
    });
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    println!("{name}: {executions:?} executions, {:.1} s", start.elapsed().as_secs_f32());
}
