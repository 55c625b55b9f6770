//! Atomics that sometimes pause before they act, so that threads meet in orders that hardly ever occur on an
//! undisturbed machine (`--cfg disturbed`; `make soak`).

use std::cell::Cell;
use std::sync::atomic::{self, Ordering};
use std::time::Duration;

/// On average, a thread pauses before one in this many of its operations.
const ONE_IN: u64 = 256;

thread_local! {
    /// Each thread's own random state, seeded by the order in which threads began.
    static STATE: Cell<u64> = {
        static THREADS: atomic::AtomicU64 = atomic::AtomicU64::new(1);
        Cell::new(THREADS.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    };
}

fn pause() {
    let mut x = STATE.get();
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    STATE.set(x);
    if x % ONE_IN == 0 {
        match x >> 32 & 63 {
            0 => std::thread::sleep(Duration::from_micros(50)),
            1..24 => std::thread::yield_now(),
            _ => (0..x >> 48 & 1023).for_each(|_| std::hint::spin_loop()),
        }
    }
}

pub(crate) fn fence(order: Ordering) {
    pause();
    atomic::fence(order);
}

macro_rules! disturbed {
    ($name:ident, $value:ty) => {
        #[derive(Debug)]
        pub(crate) struct $name(atomic::$name);

        #[allow(dead_code)] // each type has every method that one of them needs
        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }
            pub(crate) fn load(&self, order: Ordering) -> $value {
                pause();
                self.0.load(order)
            }
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                pause();
                self.0.store(value, order);
            }
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                pause();
                self.0.swap(value, order)
            }
            pub(crate) fn compare_exchange(
                &self,
                old: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                pause();
                self.0.compare_exchange(old, new, success, failure)
            }
        }
    };
}

disturbed!(AtomicBool, bool);
disturbed!(AtomicU64, u64);
disturbed!(AtomicUsize, usize);

impl AtomicUsize {
    pub(crate) fn fetch_add(&self, n: usize, order: Ordering) -> usize {
        pause();
        self.0.fetch_add(n, order)
    }
    pub(crate) fn fetch_sub(&self, n: usize, order: Ordering) -> usize {
        pause();
        self.0.fetch_sub(n, order)
    }
}
