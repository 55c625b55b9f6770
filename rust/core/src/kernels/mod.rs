//! The loops over whole rows and populations, compiled for several instruction sets; one is chosen at run time.
//!
//! The instruction set cannot change a bit. The kernels work on different neurons side by side and never reorder the
//! sum of one. Only dot products add up different neurons, and they always do so in the same fixed lanes. Nothing is
//! fused into multiply-add: Rust never contracts floating-point expressions.

mod forward;
mod reverse;

pub(crate) use forward::ForwardKernels;
pub(crate) use reverse::ReverseKernels;

/// Calls `visit` with the index of every byte that is 1 (the others are 0), in order.
#[inline(always)] // into each kernel, so that it is compiled for the kernel's instruction set
#[allow(clippy::inline_always)]
pub(crate) fn for_each_set<const N: usize>(flags: &[u8; N], mut visit: impl FnMut(usize)) {
    let mut bits = bits_of(flags);
    while bits != 0 {
        visit(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

/// The bytes, each 0 or 1, as the bits of one word, the first as the lowest: so only one loop ends unpredictably, not
/// one for every eight bytes.
#[inline(always)] // as `for_each_set`
#[allow(clippy::inline_always)]
pub(crate) fn bits_of<const N: usize>(flags: &[u8; N]) -> u64 {
    const { assert!(N <= 64 && N.is_multiple_of(8)) };
    let mut bits = 0;
    for (word, eight) in flags.as_chunks::<8>().0.iter().enumerate() {
        // The product moves the lowest bit of byte k to bit 56 + k.
        let gathered = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        bits |= gathered << (8 * word);
    }
    bits
}
