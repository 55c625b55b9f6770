//! Numbers that begin at a cache line: a vector of them that lies across two takes twice as long to read.

use std::ops::{Deref, DerefMut};

use crate::float::Float;

/// Bytes of a cache line, and of the longest vectors.
const LINE: usize = 64;

/// A slice of its own.
#[derive(Debug)]
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
