//! Linear and sparse projections: one row of weights for each source neuron. A linear projection's row without a zero
//! is stored whole and added with vector instructions; any other row is a list of (target, weight).

use super::transpose::transpose;
use super::{Target, WINDOW};
use crate::aligned::Aligned;
use crate::error::Error;
use crate::float::Float;
use crate::prefetch::prefetch;
use crate::state::State;

/// Weights by source neuron.
#[derive(Debug)]
pub(crate) struct Rows<T> {
    n_out: usize,
    /// Whole rows, one after the other.
    whole: Aligned<T>,
    /// By source: the number of its row among the whole ones, or `NOT_WHOLE`. Empty when every row is whole, since a
    /// row's number is then its source, and in sparse projections, where no row is whole.
    number: Vec<u32>,
    /// Targets and weights of all other rows: those of source `s` are at `starts[s]..starts[s + 1]`; empty when every
    /// row is whole.
    starts: Vec<u32>,
    targets: Vec<u32>,
    weights: Vec<T>,
    is_sparse: bool,
    /// Where each synapse stood among the values of the compressed rows, and how many values there were. `None` if the
    /// rows had no zeros and ascending columns, because the targets then tell it too.
    origin: Option<(Vec<u32>, usize)>,
}

const NOT_WHOLE: u32 = u32::MAX;
/// The most synapses that are prefetched; by then the processor has noticed that they are read one after the other.
const MOST_PREFETCHED: usize = 256;

impl<T: Float> Rows<T> {
    pub(crate) fn dense(weight: &[T], n_out: usize, n_in: usize) -> Self {
        let mut rows = Self::empty(n_out);
        if !T::any_zero(weight) {
            rows.whole = Aligned::zeros(weight.len());
            transpose(weight, n_out, n_in, &mut rows.whole);
            rows.starts = Vec::new();
            return rows;
        }
        let mut is_whole = vec![true; n_in];
        for row in weight.chunks_exact(n_in) {
            is_whole.iter_mut().zip(row).for_each(|(is_whole, w)| *is_whole &= *w != T::ZERO);
        }
        let n_whole = is_whole.iter().filter(|is_whole| **is_whole).count();
        let mut whole = Aligned::zeros(n_whole * n_out);
        let mut places = whole.chunks_exact_mut(n_out).zip(0..);
        for (source, is_whole) in is_whole.into_iter().enumerate() {
            let column = (0..n_out).map(|target| weight[target * n_in + source]);
            if is_whole {
                let (row, number) = places.next().expect("one for each");
                row.iter_mut().zip(column).for_each(|(to, w)| *to = w);
                rows.number.push(number);
                rows.starts.push(rows.targets.len() as u32);
            } else {
                rows.push_list((0..).zip(column));
            }
        }
        rows.whole = whole;
        rows
    }

    pub(crate) fn sparse(
        indptr: &[usize],
        indices: &[u32],
        weight: &[T],
        n_out: usize,
        n_in: usize,
    ) -> Result<Self, Error> {
        if indptr.len() != n_out + 1
            || indptr[0] != 0
            || indptr[n_out] != indices.len()
            || !indptr.is_sorted()
        {
            return Err(Error::network(
                "indptr",
                format!("{} offsets ending at {:?}", indptr.len(), indptr.last()),
                format!("{} non-decreasing offsets from 0 to {}", n_out + 1, indices.len()),
            ));
        }
        if let Some(index) = indices.iter().find(|index| **index as usize >= n_in) {
            return Err(Error::network("indices", index, format!("column numbers below {n_in}")));
        }
        // Transposed as in a counting sort: `starts` holds counts at first, then offsets. Targets come out ascending.
        let mut rows = Self::empty(n_out);
        rows.starts = one_a_column(0, n_in + 1)?;
        let is_synapse = |at: &usize| weight[*at] != T::ZERO;
        for at in (0..indices.len()).filter(is_synapse) {
            rows.starts[indices[at] as usize + 1] += 1;
        }
        for source in 0..n_in {
            rows.starts[source + 1] += rows.starts[source];
        }
        let n_synapses = rows.starts[n_in] as usize;
        (rows.targets, rows.weights) = (vec![0; n_synapses], vec![T::ZERO; n_synapses]);
        let in_order = (0..n_out).all(|k| indices[indptr[k]..indptr[k + 1]].is_sorted());
        let mut origin = (!in_order || n_synapses < indices.len()).then(|| vec![0; n_synapses]);
        let mut next = one_a_column(0, n_in + 1)?;
        next.copy_from_slice(&rows.starts);
        let mut last_target = one_a_column(u32::MAX, n_in)?;
        for target in 0..n_out {
            for at in indptr[target]..indptr[target + 1] {
                let source = indices[at] as usize;
                if std::mem::replace(&mut last_target[source], target as u32) == target as u32 {
                    let given = format!("column {source} twice in row {target}");
                    return Err(Error::network("indices", given, "each column at most once in a row"));
                }
                if is_synapse(&at) {
                    let place = next[source] as usize;
                    (rows.targets[place], rows.weights[place]) = (target as u32, weight[at]);
                    if let Some(origin) = &mut origin {
                        origin[place] = at as u32;
                    }
                    next[source] += 1;
                }
            }
        }
        rows.is_sparse = true;
        rows.origin = origin.map(|origin| (origin, indices.len()));
        Ok(rows)
    }

    fn empty(n_out: usize) -> Self {
        Self {
            n_out,
            whole: Aligned::zeros(0),
            number: Vec::new(),
            starts: vec![0],
            targets: Vec::new(),
            weights: Vec::new(),
            is_sparse: false,
            origin: None,
        }
    }

    fn push_list(&mut self, synapses: impl Iterator<Item = (u32, T)>) {
        for (target, weight) in synapses.filter(|&(_, w)| w != T::ZERO) {
            self.targets.push(target);
            self.weights.push(weight);
        }
        self.number.push(NOT_WHOLE);
        self.starts.push(self.targets.len() as u32);
    }

    /// Whether the projection was made from compressed rows.
    pub(crate) fn is_sparse(&self) -> bool {
        self.is_sparse
    }

    /// Whether every row is whole.
    pub(crate) fn all_whole(&self) -> bool {
        self.starts.is_empty()
    }

    /// All rows, if every one is whole.
    pub(crate) fn all_whole_rows(&self) -> Option<&[T]> {
        self.all_whole().then_some(&*self.whole)
    }

    pub(crate) fn n_synapses(&self) -> u64 {
        (self.whole.len() + self.targets.len()) as u64
    }

    pub(crate) fn nbytes(&self) -> usize {
        (self.whole.len() + self.weights.len()) * size_of::<T>()
            + (self.targets.len() + self.number.len()) * size_of::<u32>()
            + self.starts.len() * size_of::<u32>()
            + self.origin.as_ref().map_or(0, |(origin, _)| size_of_val(&**origin))
    }

    #[inline]
    pub(crate) fn deliver(&self, spikes: &[(u32, T)], target: Target, state: &mut State<T>) {
        if self.all_whole() {
            state.whole_rows(target, self.n_out, &self.whole, spikes);
            return;
        }
        for (at, &(source, m)) in spikes.iter().enumerate() {
            if let Some(&(after_next, _)) = spikes.get(at + 2) {
                self.prefetch_place(after_next);
            }
            if let Some(&(next, _)) = spikes.get(at + 1) {
                self.prefetch(next, target);
            }
            if let Some(events) = self.events(source, target) {
                state.events(events.map(|(neuron, weight)| (neuron, weight * m)));
            } else {
                let number = self.number[source as usize];
                state.whole_rows(target, self.n_out, &self.whole, &[(number, m)]);
            }
        }
    }

    /// A source's synapses (neuron, weight), ascending, unless they are a whole row.
    #[inline]
    pub(crate) fn events(&self, source: u32, target: Target) -> Option<impl Iterator<Item = (usize, T)>> {
        let source = source as usize;
        if self.whole_row(source).is_some() {
            return None;
        }
        let list = self.list_in(source, target);
        let synapses = self.targets[list.clone()].iter().zip(&self.weights[list]);
        Some(synapses.map(move |(&k, &weight)| (target.start + k as usize, weight)))
    }

    /// Prefetches the offset at which a spike's list begins.
    #[inline]
    pub(crate) fn prefetch_place(&self, source: u32) {
        if !self.all_whole() {
            prefetch(&self.starts[source as usize..][..1]);
        }
    }

    /// Prefetches the list of a spike that is about to be delivered, since it may lie anywhere in memory. Whole rows
    /// are long enough for the processor to see by itself what comes next.
    #[inline]
    pub(crate) fn prefetch(&self, source: u32, target: Target) {
        if self.all_whole() || target.len() == 0 {
            return;
        }
        let list = self.list(source as usize);
        // Where the target's part lies if targets are spread evenly, with the windows in which its ends are searched
        // for. What is fetched in vain costs little.
        let place = |bound: usize| list.len() * bound / self.n_out;
        let first = place(target.first).saturating_sub(WINDOW / 2);
        let end = (place(target.end) + WINDOW / 2).min(list.len()).min(first + MOST_PREFETCHED);
        prefetch(&self.targets[list.start + first..list.start + end]);
        prefetch(&self.weights[list.start + first..list.start + end]);
    }

    pub(crate) fn reaches(&self, source: u32, target: Target) -> bool {
        let source = source as usize;
        target.len() > 0 && (self.whole_row(source).is_some() || !self.list_in(source, target).is_empty())
    }

    pub(crate) fn count_by_target(&self, counts: &mut [u64]) {
        for count in &mut *counts {
            *count += (self.whole.len() / self.n_out) as u64;
        }
        for &target in &self.targets {
            counts[target as usize] += 1;
        }
    }

    /// The range of a source's list whose targets are in the part.
    #[inline]
    fn list_in(&self, source: usize, target: Target) -> std::ops::Range<usize> {
        let list = self.list(source);
        let places = target.places(&self.targets[list.clone()], self.n_out);
        list.start + places.start..list.start + places.end
    }

    fn list(&self, source: usize) -> std::ops::Range<usize> {
        self.starts[source] as usize..self.starts[source + 1] as usize
    }

    /// The gradient of a linear projection has a whole row for each source, that of a sparse one has a number for each
    /// synapse.
    pub(crate) fn gradient_len(&self, n_in: usize) -> usize {
        if self.is_sparse { self.weights.len() } else { n_in * self.n_out }
    }

    #[inline]
    pub(crate) fn adjoint(&self, source: u32, target: Target, b: &[T], gradient: &mut [T]) -> T {
        let (from, part) = (source as usize, target.first..target.end);
        if self.is_sparse {
            let mut sum = T::ZERO;
            for at in self.list_in(from, target) {
                let b = b[self.targets[at] as usize];
                gradient[at] += b;
                sum += self.weights[at] * b;
            }
            return sum;
        }
        let gradient = &mut gradient[from * self.n_out..][part.clone()];
        if let Some(row) = self.whole_row(from) {
            return T::adjoint_row(gradient, &row[part.clone()], &b[part]);
        }
        T::add_row(gradient, &b[part]);
        self.pull(source, target, b)
    }

    #[inline]
    pub(crate) fn pull(&self, source: u32, target: Target, b: &[T]) -> T {
        if let Some(row) = self.whole_row(source as usize) {
            let part = target.first..target.end;
            return T::dot(&row[part.clone()], &b[part]);
        }
        let list = self.list_in(source as usize, target);
        list.fold(T::ZERO, |sum, at| sum + self.weights[at] * b[self.targets[at] as usize])
    }

    #[inline]
    pub(crate) fn learn(&self, spikes: &[(u32, T)], target: Target, b: &[T], gradient: &mut [T]) {
        if !self.is_sparse {
            T::scatter(gradient, (self.n_out, target.first), &b[target.first..target.end], spikes);
            return;
        }
        for &(source, m) in spikes {
            for at in self.list_in(source as usize, target) {
                gradient[at] += b[self.targets[at] as usize] * m;
            }
        }
    }

    #[inline]
    fn whole_row(&self, source: usize) -> Option<&[T]> {
        if self.is_sparse {
            return None;
        }
        let number = if self.all_whole() { source } else { self.number[source] as usize };
        (number != NOT_WHOLE as usize).then(|| &self.whole[number * self.n_out..][..self.n_out])
    }

    /// Linear: `[n_out, n_in]`. Sparse: as the compressed rows were given, 0 for stored zeros.
    pub(crate) fn export(&self, gradient: &[T], n_in: usize) -> Vec<T> {
        if self.is_sparse {
            return self.export_synapses(gradient);
        }
        let mut weight = vec![T::ZERO; gradient.len()];
        transpose(gradient, n_in, self.n_out, &mut weight);
        weight
    }

    fn export_synapses(&self, gradient: &[T]) -> Vec<T> {
        if let Some((origin, n)) = &self.origin {
            let mut weight = vec![T::ZERO; *n];
            for (&at, &value) in origin.iter().zip(gradient) {
                weight[at as usize] = value;
            }
            return weight;
        }
        let mut next = vec![0; self.n_out + 1];
        for &target in &self.targets {
            next[target as usize + 1] += 1;
        }
        for target in 0..self.n_out {
            next[target + 1] += next[target];
        }
        let mut weight = vec![T::ZERO; gradient.len()];
        for (&target, &value) in self.targets.iter().zip(gradient) {
            weight[next[target as usize]] = value;
            next[target as usize] += 1;
        }
        weight
    }
}

/// `n` copies of `value`, or an error: even a small file may say that a sparse projection has more columns than memory
/// can hold.
fn one_a_column(value: u32, n: usize) -> Result<Vec<u32>, Error> {
    let mut numbers = Vec::new();
    if numbers.try_reserve_exact(n).is_err() {
        return Err(Error::network("csr", format!("{n} columns, which memory cannot hold"), "fewer columns"));
    }
    numbers.resize(n, value);
    Ok(numbers)
}
