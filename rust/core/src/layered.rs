//! Layered execution, the layer-synchronised baseline (`docs/semantics.md`, "Layered execution").

use crate::delivery::deliver_own;
use crate::engine::{Slot, Worker};
use crate::error::Error;
use crate::fates::LOST;
use crate::float::Float;
use crate::network::{Network, Source};
use crate::schedule::Schedule;
use crate::workers::{A_STEP, Watch};

/// The order of a layered timestep.
#[derive(Debug)]
pub(crate) struct VisitingOrder {
    /// Populations in the order of their visits.
    pub(crate) populations: Vec<usize>,
    /// By connection: whether it delivers the spikes of the previous timestep.
    pub(crate) is_feedback: Vec<bool>,
    /// By population: the connections that end there, in the order in which they were added.
    pub(crate) incoming: Vec<Vec<usize>>,
}

/// Finds the feedback connections and sorts the populations topologically by the others. Without `feedback`, graphs
/// with cycles are refused.
pub(crate) fn visiting_order<T: Float>(network: &Network<T>, feedback: bool) -> Result<VisitingOrder, Error> {
    let n = network.populations().len();
    let ends = |connection: usize| match network.connections[connection].source {
        Source::Input => None,
        Source::Population(source) => Some((source, network.connections[connection].target.population)),
    };
    let reaches: Vec<Vec<bool>> = (0..n).map(|from| reachable(network, from)).collect();
    let is_feedback: Vec<bool> = (0..network.connections.len())
        .map(|c| ends(c).is_some_and(|(source, target)| target <= source && reaches[target][source]))
        .collect();
    if let (false, Some(at)) = (feedback, is_feedback.iter().position(|f| *f)) {
        let (source, target) = ends(at).expect("a feedback connection joins populations");
        let name = |index: usize| &network.populations()[index].name;
        let given = format!(
            "None with a network whose projection from {:?} to {:?} closes a cycle",
            name(source),
            name(target)
        );
        return Err(Error::schedule("feedback", given, "\"next_timestep\", or a network without cycles"));
    }
    let mut incoming = vec![Vec::new(); n];
    let mut waits_for = vec![0; n];
    for (c, connection) in network.connections.iter().enumerate() {
        incoming[connection.target.population].push(c);
        if ends(c).is_some() && !is_feedback[c] {
            waits_for[connection.target.population] += 1;
        }
    }
    let mut populations = Vec::with_capacity(n);
    let mut visited = vec![false; n];
    while let Some(next) = (0..n).find(|p| !visited[*p] && waits_for[*p] == 0) {
        visited[next] = true;
        populations.push(next);
        for &c in &network.from_population[next].connections {
            if !is_feedback[c] {
                waits_for[network.connections[c].target.population] -= 1;
            }
        }
    }
    debug_assert_eq!(populations.len(), n, "what is not feedback has no cycle");
    Ok(VisitingOrder { populations, is_feedback, incoming })
}

/// By population: whether a path of projections leads there from `from`; an empty path counts.
fn reachable<T: Float>(network: &Network<T>, from: usize) -> Vec<bool> {
    let mut reached = vec![false; network.populations().len()];
    let mut open = vec![from];
    while let Some(population) = open.pop() {
        if !std::mem::replace(&mut reached[population], true) {
            open.extend(
                network.from_population[population]
                    .connections
                    .iter()
                    .map(|&c| network.connections[c].target.population),
            );
        }
    }
    reached
}

/// Spikes of each population (neuron within it, multiplicity 1), in this timestep and in the one before.
#[derive(Debug)]
pub(crate) struct Emitted<T> {
    now: Vec<Vec<(u32, T)>>,
    before: Vec<Vec<(u32, T)>>,
}

impl<T: Float> Emitted<T> {
    pub(crate) fn new(network: &Network<T>) -> Self {
        let empty = vec![Vec::new(); network.populations().len()];
        Self { now: empty.clone(), before: empty }
    }
}

impl<T: Float> Worker<'_, T> {
    /// Runs one sample population by population. `schedule` must select all pending spikes in each step.
    pub(crate) fn layered_sample<S: Schedule<T>>(
        &mut self,
        order: &VisitingOrder,
        emitted: &mut Emitted<T>,
        schedule: &mut S,
        sample: usize,
        slot: &mut Slot<'_, T>,
        watch: &mut Watch<'_>,
    ) -> Result<(), Error> {
        let run = self.run;
        let n_visits = order.populations.len();
        let mut moment = self.moment(sample);
        self.begin_sample(sample);
        schedule.clear();
        schedule.begin_sample(sample)?;
        emitted.now.iter_mut().for_each(Vec::clear);
        for timestep in 0..run.input.n_timesteps() {
            moment.timestep = timestep as u32;
            run.input.timestep(sample, timestep, &mut self.inputs, &mut self.indices)?;
            self.begin_timestep();
            std::mem::swap(&mut emitted.now, &mut emitted.before);
            emitted.now.iter_mut().for_each(Vec::clear);
            let mut ending = None;
            for visit in 0..=n_visits {
                if !watch.go_on(A_STEP + self.inputs.len() + self.group.len()) {
                    return Err(Error::Interrupted);
                }
                moment.step = visit as u32;
                self.group.clear();
                if visit > 0 {
                    schedule.select(moment, &mut self.group)?;
                }
                self.fired.clear();
                if let Some(&population) = order.populations.get(visit) {
                    self.visit(order, emitted, population);
                }
                self.settle(schedule, moment, slot)?;
                if let Some(&population) = order.populations.get(visit) {
                    self.hand_on(emitted, population);
                }
                ending = self.ending(schedule, moment, |_| visit < n_visits)?;
                if ending.is_some() {
                    break;
                }
            }
            let ending = ending.ok_or_else(|| {
                Error::Trace(format!(
                    "sample {sample}, timestep {timestep}: got no ending; accepted: one after the last visit"
                ))
            })?;
            if self.end_timestep(schedule, ending, moment, slot) {
                break;
            }
        }
        self.end_sample(slot);
        schedule.end_sample(moment)
    }

    fn visit(&mut self, order: &VisitingOrder, emitted: &mut Emitted<T>, population: usize) {
        let network = self.run.network;
        deliver_own(network, Some(population), &mut self.state);
        for &c in &order.incoming[population] {
            let connection = &network.connections[c];
            let spikes = match connection.source {
                Source::Input => &self.inputs,
                Source::Population(source) if order.is_feedback[c] => &emitted.before[source],
                Source::Population(source) => &emitted.now[source],
            };
            connection.projection.deliver(spikes, connection.target, &mut self.state);
        }
        self.state.update_population(network, population, &mut self.fired);
    }

    /// Hands on the spikes that the population fired, except those that are lost.
    fn hand_on(&self, emitted: &mut Emitted<T>, population: usize) {
        let start = self.run.network.populations()[population].start as u32;
        let is_kept = |at: usize| self.fates.flags.get(at).is_none_or(|flags| flags & LOST == 0);
        let kept = self.fired.iter().enumerate().filter(|(at, _)| is_kept(*at));
        emitted.now[population].extend(kept.map(|(_, neuron)| (neuron - start, T::ONE)));
    }
}
