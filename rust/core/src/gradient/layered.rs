//! The walk back through one sample of a layered run. With the scope "touched" this is back-propagation through time.

use super::adjoints::{Adjoints, Firing};
use super::postponed::Postponed;
use super::potentials::{Emissions, Potentials, Rerun};
use super::record::Sample;
use super::reverse::{check_fired, own_input, pull_through};
use super::{GradientScope, OwnGradient, Pass, Sums};
use crate::error::Error;
use crate::fates::LOST;
use crate::float::Float;
use crate::layered::VisitingOrder;
use crate::network::Source;

/// One worker's buffers.
#[derive(Debug)]
pub(super) struct LayeredWalk<T> {
    record: Sample,
    emissions: Emissions,
    potentials: Potentials<T>,
    adjoints: Adjoints<T>,
    pub(super) postponed: Postponed<T>,
    /// By place: the adjoint of the neuron's spike, or of its silence, in the current timestep; and below, in the one
    /// before it.
    terms: Vec<T>,
    terms_before: Vec<T>,
}

impl<T: Float> LayeredWalk<T> {
    pub(super) fn new(pass: &Pass<'_, T>) -> Self {
        let n = pass.network.n_neurons();
        Self {
            record: Sample::new(pass.trace),
            emissions: Emissions::default(),
            potentials: Potentials::new(pass),
            adjoints: Adjoints::new(pass),
            postponed: Postponed::new(pass),
            terms: vec![T::ZERO; n],
            terms_before: vec![T::ZERO; n],
        }
    }

    /// Adds a sample's gradient to `sums`.
    pub(super) fn sample(
        &mut self,
        pass: &Pass<'_, T>,
        sample: usize,
        sums: &mut Sums<T>,
        own: &mut OwnGradient<'_, T>,
    ) -> Result<(), Error> {
        let Some(order) = &pass.order else {
            return Err(Error::Trace("got a trace without layers; accepted: one of a layered run".into()));
        };
        let network = pass.network;
        let v = pass.trace.sample(sample).1;
        self.record.read(pass, sample)?;
        self.emissions.read(network, order, &self.record)?;
        self.potentials.rerun_layered(&Rerun::of(pass), order, sample, &self.record, &self.emissions)?;
        self.adjoints.begin_sample(pass, sample);
        self.terms_before.fill(T::ZERO);
        for timestep in (0..self.record.n_timesteps()).rev() {
            self.adjoints.begin_timestep(pass, sample, timestep);
            std::mem::swap(&mut self.terms, &mut self.terms_before);
            self.terms_before.fill(T::ZERO);
            let steps = self.record.timestep(timestep);
            self.adjoints.keep_currents();
            for visit in (0..order.populations.len().min(steps.len())).rev() {
                self.pass_visit(pass, v, order.populations[visit], steps.start + visit, sums)?;
                let input = own_input(own.input, timestep, pass.input.n_inputs());
                self.pass_delivery(pass, order, timestep, order.populations[visit], input, sums);
            }
            let before = self.potentials.before_decay(network, timestep);
            self.adjoints.pass_decay(before, sums);
        }
        own.set_initial_state(pass, &self.adjoints.a, &self.adjoints.c);
        Ok(())
    }

    /// Passes adjoints back through the updates of one population; `v` holds the sample's recorded potentials.
    fn pass_visit(
        &mut self,
        pass: &Pass<'_, T>,
        v: &[f32],
        index: usize,
        step: usize,
        sums: &mut Sums<T>,
    ) -> Result<(), Error> {
        let Self { record, potentials, adjoints, terms, .. } = self;
        let population = &pass.network.populations()[index];
        let range = population.start..population.end;
        let (fired, fates, _) = record.fired(step);
        let log = &mut potentials.log;
        let [whole, ..] = log.step(step);
        let logged = log.whole[whole].first().map(|whole| whole.start);
        let v = &v[record.fired_start(step)..];
        for (&neuron, &v) in fired.iter().zip(v) {
            let k = pass.places.of(neuron as usize);
            adjoints.x[k] = match logged {
                Some(start) => std::mem::replace(&mut log.x[start + k - range.start], T::NEG_INFINITY),
                None => T::from_f64(f64::from(v)) - pass.network.threshold[neuron as usize],
            };
            check_fired(adjoints.x[k], neuron)?;
        }
        if let Some(start) = logged {
            if pass.options.scope == GradientScope::Touched {
                adjoints.silent[range.clone()].copy_from_slice(&terms[range.clone()]);
            }
            let x = &log.x[start..start + range.len()];
            adjoints.pass_silent_run(pass, index, range.start, x, sums);
            adjoints.silent[range].fill(T::ZERO);
        } else {
            adjoints.b[range.clone()].copy_from_slice(&adjoints.a[range.clone()]);
            adjoints.add_currents(range);
        }
        for (&neuron, &fate) in fired.iter().zip(fates) {
            let k = pass.places.of(neuron as usize);
            let term = if fate & LOST == 0 { terms[k] } else { T::ZERO };
            let x = adjoints.x[k];
            let s = pass.options.surrogate.derivative(x);
            adjoints.pass_fired(pass, &population.lif, Firing { k, fate, x, s, term }, sums);
        }
        Ok(())
    }

    /// Passes adjoints back through what a population received at its visit.
    fn pass_delivery(
        &mut self,
        pass: &Pass<'_, T>,
        order: &VisitingOrder,
        timestep: usize,
        index: usize,
        input: &mut [T],
        sums: &mut Sums<T>,
    ) {
        let all = &self.adjoints.b;
        let network = pass.network;
        for (bias, sum) in network.biases.iter().zip(&mut sums.biases) {
            if bias.target.population == index {
                T::add_row(sum, pass.of_target(bias.target, all).values);
            }
        }
        for &c in &order.incoming[index] {
            let connection = &network.connections[c];
            let (projection, gradient) = (&connection.projection, &mut sums.weights[c]);
            let target = connection.target;
            let b = pass.of_target(target, all);
            let Source::Population(source) = connection.source else {
                let spikes = self.potentials.inputs(timestep);
                self.postponed.learn(c, connection, spikes, target, b, gradient);
                if !input.is_empty() {
                    projection.pull_from(0, input, target, b);
                }
                continue;
            };
            let (terms, is_feedback) = (&mut self.terms, order.is_feedback[c]);
            let terms = if is_feedback { &mut self.terms_before } else { terms };
            let neurons = network.populations()[source].start..network.populations()[source].end;
            let sent = self.emissions.sent(order, c, connection.source, timestep);
            if pass.options.scope == GradientScope::Touched {
                if is_feedback && timestep == 0 {
                    continue;
                }
                pull_through(pass, c, source, neurons.clone(), &mut terms[neurons], target, all);
                self.potentials.sent.clear();
                self.potentials.sent.extend(sent.iter().map(|&local| (local, T::ONE)));
                projection.learn(&self.potentials.sent, target, b, gradient);
            } else {
                for &local in sent {
                    let k = pass.places.of(neurons.start + local as usize);
                    terms[k] += projection.adjoint(local, target, b, gradient);
                }
            }
        }
    }
}
