//! A hint to the processor that memory will be read soon. Results do not depend on it.

/// Number of bytes that are fetched together.
const CACHE_LINE: usize = 64;

/// Prefetches all of a slice.
#[inline]
pub(crate) fn prefetch<T>(slice: &[T]) {
    let step = (CACHE_LINE / size_of::<T>()).max(1);
    for item in slice.iter().step_by(step) {
        line(item);
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn line<T>(item: &T) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: every processor of this architecture has the instruction. It is only a hint: it cannot fault, and it
    // changes nothing that the program could observe.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(item).cast()) };
}

#[cfg(target_arch = "aarch64")]
#[inline]
fn line<T>(item: &T) {
    // SAFETY: as on x86-64: every processor of this architecture has the instruction, and it is only a hint.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) std::ptr::from_ref(item), options(readonly, nostack, preserves_flags));
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn line<T>(_: &T) {}
