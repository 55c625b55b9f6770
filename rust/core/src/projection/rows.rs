//! Linear and sparse projections: for each source neuron one row of weights. A row without a zero is stored whole and added with vector instructions; any other
//! is a list of (target, weight).

use super::Target;
use crate::error::Error;
use crate::float::Float;
use crate::state::State;

/// Weights by source neuron.
#[derive(Clone, Debug)]
pub(crate) struct Rows<T> {
    n_out: usize,
    rows: Vec<Row>,
    /// Whole rows, one after the other.
    whole: Vec<T>,
    /// Targets and weights of all other rows.
    targets: Vec<u32>,
    weights: Vec<T>,
    /// Every row is whole, and row `r` stands at `r * n_out`.
    all_whole: bool,
}

#[derive(Clone, Copy, Debug)]
enum Row {
    /// The row's number among the whole rows.
    Whole(u32),
    /// Its part of the list.
    List(usize, usize),
}

impl<T: Float> Rows<T> {
    pub(crate) fn dense(weight: &[T], n_out: usize, n_in: usize) -> Self {
        let mut rows = Self::empty(n_out, n_in);
        rows.whole.reserve_exact(n_in * n_out);
        for source in 0..n_in {
            let column = || (0..n_out).map(|target| weight[target * n_in + source]);
            if n_out > 0 && column().all(|w| w != T::ZERO) {
                rows.rows
                    .push(Row::Whole((rows.whole.len() / n_out) as u32));
                rows.whole.extend(column());
            } else {
                rows.push_list((0..).zip(column()));
            }
        }
        rows.all_whole = rows.whole.len() == n_in * n_out;
        rows.whole.shrink_to_fit();
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
                format!(
                    "{} non-decreasing offsets from 0 to {}",
                    n_out + 1,
                    indices.len()
                ),
            ));
        }
        if let Some(index) = indices.iter().find(|index| **index as usize >= n_in) {
            return Err(Error::network(
                "indices",
                index,
                format!("column numbers below {n_in}"),
            ));
        }
        let mut columns: Vec<Vec<(u32, T)>> = vec![Vec::new(); n_in];
        for target in 0..n_out {
            for at in indptr[target]..indptr[target + 1] {
                let column = &mut columns[indices[at] as usize];
                if column
                    .last()
                    .is_some_and(|&(last, _)| last == target as u32)
                {
                    return Err(Error::network(
                        "indices",
                        format!("column {} twice in row {target}", indices[at]),
                        "each column at most once in a row",
                    ));
                }
                column.push((target as u32, weight[at]));
            }
        }
        let mut rows = Self::empty(n_out, n_in);
        for column in columns {
            rows.push_list(column.into_iter());
        }
        Ok(rows)
    }

    fn empty(n_out: usize, n_in: usize) -> Self {
        Self {
            n_out,
            rows: Vec::with_capacity(n_in),
            whole: Vec::new(),
            targets: Vec::new(),
            weights: Vec::new(),
            all_whole: false,
        }
    }

    fn push_list(&mut self, synapses: impl Iterator<Item = (u32, T)>) {
        let start = self.targets.len();
        for (target, weight) in synapses.filter(|&(_, w)| w != T::ZERO) {
            self.targets.push(target);
            self.weights.push(weight);
        }
        self.rows.push(Row::List(start, self.targets.len()));
    }

    pub(crate) fn all_whole(&self) -> bool {
        self.all_whole
    }

    pub(crate) fn n_synapses(&self) -> u64 {
        (self.whole.len() + self.targets.len()) as u64
    }

    pub(crate) fn nbytes(&self) -> usize {
        (self.whole.len() + self.weights.len()) * size_of::<T>()
            + self.targets.len() * 4
            + self.rows.len() * size_of::<Row>()
    }

    #[inline]
    pub(crate) fn deliver(&self, spikes: &[(u32, T)], target: Target, state: &mut State<T>) {
        if self.all_whole {
            state.whole_rows(target, self.n_out, &self.whole, spikes);
            return;
        }
        for &(source, m) in spikes {
            match self.rows[source as usize] {
                Row::Whole(row) => state.whole_rows(target, self.n_out, &self.whole, &[(row, m)]),
                Row::List(start, end) => {
                    for (&k, &weight) in self.targets[start..end]
                        .iter()
                        .zip(&self.weights[start..end])
                    {
                        state.event(target.start + k as usize, weight * m);
                    }
                }
            }
        }
    }
}
