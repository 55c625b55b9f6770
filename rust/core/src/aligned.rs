//! Number arrays that start at a cache-line boundary: a vector that straddles two cache lines takes twice as long to
//! read.

use std::ops::{Deref, DerefMut};

use crate::float::Float;

/// Size in bytes of a cache line, and of the widest vector registers.
const LINE: usize = 64;

/// An owned slice that starts at a cache-line boundary.
#[derive(Debug)]
pub(crate) struct Aligned<T> {
    /// Longer than the slice by one cache line, so that the slice can start at a boundary.
    numbers: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Float> Aligned<T> {
    pub(crate) fn zeros(len: usize) -> Self {
        let room = LINE / size_of::<T>();
        let numbers = vec![T::ZERO; len + room];
        // `align_offset` may be unable to tell and return `usize::MAX`; the slice then stays in bounds, but unaligned.
        let start = numbers.as_ptr().align_offset(LINE).min(room);
        Self { numbers, start, len }
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
    fn zeros_begin_at_a_line_and_are_as_many_as_asked_for() {
        for len in [0, 1, 15, 16, 1000] {
            let mut numbers = Aligned::<f32>::zeros(len);
            assert_eq!(numbers.as_ptr().addr() % LINE, 0);
            assert_eq!(*numbers, *vec![0.0; len]);
            numbers.fill(1.0);
            assert_eq!(*numbers, *vec![1.0; len]);
        }
    }
}
