//! Worker threads, and what goes on meanwhile on the thread that called: progress, and the wish to stop.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::sync::{AtomicBool, AtomicUsize, Ordering, thread};

/// More threads than this gain nothing on any machine and cost memory each.
pub(crate) const MOST_THREADS: usize = 1024;

/// Time between two calls of a run's `progress`.
const POLL: Duration = Duration::from_millis(50);

/// Asked between steps whether the run goes on.
pub(crate) enum Watch<'a> {
    /// On a thread of its own: another thread says.
    Shared(&'a AtomicBool),
    /// On the calling thread: its own `progress` says, every now and then.
    Calling { progress: &'a mut dyn FnMut(usize) -> bool, done: usize, asked: Instant, since: u32 },
}

impl Watch<'_> {
    /// False: stop now. Cheap, because it is asked in every step.
    #[inline]
    pub(crate) fn go_on(&mut self) -> bool {
        match self {
            // Relaxed: the flag guards no memory; it only has to be seen some time.
            Self::Shared(stopped) => !stopped.load(Ordering::Relaxed),
            Self::Calling { progress, done, asked, since } => {
                *since += 1;
                if *since % 64 != 0 || asked.elapsed() < POLL {
                    return true;
                }
                *asked = Instant::now();
                progress(*done)
            }
        }
    }

    /// So many samples are finished.
    pub(crate) fn finished(&mut self, samples: usize) {
        if let Self::Calling { done, .. } = self {
            *done = samples;
        }
    }
}

/// What workers do.
type Work<'a, R> = dyn Fn(&mut Watch<'_>) -> R + Sync + 'a;

/// Runs `work` here, and `progress` now and then.
pub(crate) fn on_this_thread<R>(
    work: &Work<'_, R>,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<R, Error> {
    let mut watch = Watch::Calling { progress, done: 0, asked: Instant::now(), since: 0 };
    catch_unwind(AssertUnwindSafe(|| work(&mut watch))).map_err(panicked)
}

/// Runs `work` on so many threads, or unless `all` are needed on as many as the system gives, and `progress` on this one.
pub(crate) fn on_threads<R: Send>(
    threads: usize,
    all: bool,
    work: &Work<'_, R>,
    done: &AtomicUsize,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<R>, Error> {
    let stopped = AtomicBool::new(false);
    let running = AtomicUsize::new(0);
    thread::scope(|scope| {
        let caller = thread::current();
        let mut workers = Vec::with_capacity(threads);
        for _ in 0..threads {
            running.fetch_add(1, Ordering::Relaxed);
            let ended = Ended { running: &running, caller: caller.clone() };
            let stopped = &stopped;
            let spawned = thread::Builder::new().spawn_scoped(scope, move || {
                let _ended = ended;
                work(&mut Watch::Shared(stopped))
            });
            match spawned {
                Ok(worker) => workers.push(worker),
                // Dropped with the closure, `ended` has counted itself off.
                Err(_) if !workers.is_empty() && !all => break,
                Err(error) => {
                    stopped.store(true, Ordering::Relaxed);
                    return Err(Error::input("threads", format!("{threads} ({error})"), "fewer threads"));
                }
            }
        }
        let mut go_on = true;
        // Relaxed: joining the workers below is what makes their results visible.
        while running.load(Ordering::Relaxed) > 0 {
            thread::park_timeout(POLL);
            // What has said no is not asked again: it may hold the reason.
            go_on = go_on && progress(done.load(Ordering::Relaxed));
            stopped.store(!go_on, Ordering::Relaxed);
        }
        // All are joined before any error is looked at, or the scope would panic for those that are not.
        let joined: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        joined.into_iter().map(|result| result.map_err(panicked)).collect()
    })
}

#[allow(clippy::needless_pass_by_value)] // for `map_err`
fn panicked(payload: Box<dyn Any + Send>) -> Error {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    Error::Panic(text.unwrap_or("no message").to_owned())
}

/// Counts a worker off and wakes the caller when it ends, in a panic too.
struct Ended<'a> {
    running: &'a AtomicUsize,
    caller: thread::Thread,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        self.caller.unpark();
    }
}
