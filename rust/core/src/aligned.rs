//! Numbers that begin at a cache line: a vector of them that lies across two takes twice as long to read.

use std::ops::{Deref, DerefMut};

use crate::float::Float;

/// Bytes of a cache line, and of the longest vectors.
const LINE: usize = 64;

/// A slice of its own.
#[derive(Debug, Default)]
pub(crate) struct Aligned<T> {
    /// With room for the slice to begin where a line does.
    numbers: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Float> Aligned<T> {
    pub(crate) fn zeros(len: usize) -> Self {
        let room = LINE / size_of::<T>();
        let numbers = vec![T::ZERO; len + room];
        // The offset may be unknown, and then is more than any number.
        let start = numbers.as_ptr().align_offset(LINE).min(room);
        Self { numbers, start, len }
    }
}

impl<T: Float> From<&[T]> for Aligned<T> {
    fn from(numbers: &[T]) -> Self {
        let mut aligned = Self::zeros(numbers.len());
        aligned.copy_from_slice(numbers);
        aligned
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        &self.numbers[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Aligned<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.numbers[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_order_and_begin_at_a_line() {
        for len in [0, 1, 15, 16, 1000] {
            let numbers: Vec<f32> = (0..len).map(|k| k as f32).collect();
            let aligned = Aligned::from(&*numbers);
            assert_eq!(*aligned, *numbers);
            assert_eq!(aligned.as_ptr().addr() % LINE, 0);
            assert!(Aligned::<f64>::zeros(len).iter().all(|zero| zero.to_bits() == 0));
        }
    }
}
