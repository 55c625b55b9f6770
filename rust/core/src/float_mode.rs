//! The processor's floating-point mode. A program may have set it to flush denormal numbers to zero (PyTorch offers
//! that); new threads inherit that mode, and it would change results.

/// While it lives, this thread computes in the default IEEE 754 mode; dropping it restores the old mode.
pub(crate) struct DefaultFloatMode {
    old: Mode,
}

impl DefaultFloatMode {
    pub(crate) fn set() -> Self {
        let old = get();
        put(DEFAULT);
        Self { old }
    }
}

impl Drop for DefaultFloatMode {
    fn drop(&mut self) {
        put(self.old);
    }
}

#[cfg(target_arch = "x86_64")]
mod register {
    use std::arch::asm;

    pub(super) type Mode = u32;
    /// MXCSR: all exceptions masked, round to nearest, no flushing.
    pub(super) const DEFAULT: Mode = 0x1F80;

    pub(super) fn get() -> Mode {
        let mut mode = 0;
        // SAFETY: stores the register to a local variable and changes nothing else.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut mode, options(nostack, preserves_flags)) };
        mode
    }

    pub(super) fn put(mode: Mode) {
        // SAFETY: loads what `get` stored, or the default that all Rust code expects.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const mode, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod register {
    use std::arch::asm;

    pub(super) type Mode = u64;
    /// FPCR: round to nearest, no flushing, no traps.
    pub(super) const DEFAULT: Mode = 0;

    pub(super) fn get() -> Mode {
        let mode;
        // SAFETY: reads the register into a local variable and changes nothing else.
        unsafe { asm!("mrs {}, fpcr", out(reg) mode, options(nomem, nostack, preserves_flags)) };
        mode
    }

    pub(super) fn put(mode: Mode) {
        // SAFETY: writes what `get` read, or the default that all Rust code expects.
        unsafe { asm!("msr fpcr, {}", in(reg) mode, options(nomem, nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod register {
    pub(super) type Mode = ();
    pub(super) const DEFAULT: Mode = ();
    pub(super) fn get() -> Mode {}
    pub(super) fn put((): Mode) {}
}

use register::{DEFAULT, Mode, get, put};

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn denormals_count_inside_and_the_old_mode_comes_back() {
        let halved = || black_box(f32::MIN_POSITIVE) * black_box(0.5);
        put(DEFAULT | 1 << 15);
        let flushed = halved();
        let guard = DefaultFloatMode::set();
        let kept = halved();
        drop(guard);
        let flushed_again = halved();
        put(DEFAULT);
        assert_eq!((flushed, flushed_again), (0.0, 0.0));
        assert!(kept > 0.0);
    }
}
