//! The replay of a record of several shards, on one thread: the steps in the recorded order, each on its own shard's
//! neurons.

use std::sync::Arc;

use super::division::Division;
use crate::delivery::{Buffers, deliver_group, deliver_own, deliver_run};
use crate::engine::{Run, Slot, Worker};
use crate::error::Error;
use crate::float::Float;
use crate::network::Source;
use crate::options::{Ending, InputMode};
use crate::schedule::{Moment, Pending, Replay, Schedule};
use crate::state::State;
use crate::trace::Trace;
use crate::workers::{A_STEP, Watch};

/// One worker's buffers.
pub(crate) struct ShardedReplay<T> {
    division: Arc<Division>,
    states: Vec<State<T>>,
    replay: Replay,
    buffers: Buffers<T>,
    /// By arrival number: the shards that have not delivered the spike yet.
    due: Vec<u64>,
    n_due: u64,
    /// Shards are done with all spikes before this arrival number.
    due_from: usize,
    /// (arrival number, multiplicity) of scheduled input spikes.
    multiplicities: Vec<(u32, T)>,
}

impl<T: Float> ShardedReplay<T> {
    pub(crate) fn new(run: &Run<'_, T>, trace: &Arc<Trace>, division: &Arc<Division>) -> Self {
        let partition = &division.partition;
        Self {
            division: Arc::clone(division),
            states: (0..partition.n_shards())
                .map(|s| State::of(run.network, &run.decays, partition.neurons(s)))
                .collect(),
            replay: Replay::new(Arc::clone(trace)),
            buffers: Buffers::new(),
            due: Vec::new(),
            n_due: 0,
            due_from: 0,
            multiplicities: Vec::new(),
        }
    }

    fn begin_sample(&mut self, initial_state: Option<&[T]>) {
        self.states.iter_mut().for_each(|state| state.begin_sample(initial_state));
        self.due.clear();
        (self.n_due, self.due_from) = (0, 0);
        self.multiplicities.clear();
    }

    /// Adds new spikes, given as the shards that each must reach.
    fn joined(&mut self, shards: impl Iterator<Item = u64>) {
        for shards in shards {
            self.due.push(shards);
            self.n_due += u64::from(shards.count_ones());
        }
    }

    /// Takes a spike off the list of what a shard has to deliver; returns false if it is not on it.
    fn deliver(&mut self, arrival: u32, shard: usize) -> bool {
        let bit = 1 << shard;
        match self.due.get_mut(arrival as usize) {
            Some(shards) if *shards & bit != 0 => {
                *shards &= !bit;
                self.n_due -= 1;
                true
            }
            _ => false,
        }
    }
}

impl<T: Float> Worker<'_, T> {
    /// Replays one sample.
    pub(crate) fn sharded_sample(
        &mut self,
        replay: &mut ShardedReplay<T>,
        sample: usize,
        slot: &mut Slot<'_, T>,
        watch: &mut Watch<'_>,
    ) -> Result<(), Error> {
        let run = self.run;
        let mut moment = self.moment(sample);
        self.begin_sample(sample);
        replay.begin_sample(run.input.initial_state(sample));
        Schedule::<T>::begin_sample(&mut replay.replay, sample)?;
        let n_shards = replay.division.partition.n_shards();
        for timestep in 0..run.input.n_timesteps() {
            (moment.timestep, moment.step) = (timestep as u32, 0);
            run.input.timestep(sample, timestep, &mut self.inputs, &mut self.indices)?;
            self.begin_timestep();
            for shard in 0..n_shards {
                let state = &mut replay.states[shard];
                state.begin_timestep(run.network);
                deliver_own(run.network, None, state);
                if run.options.input_mode == InputMode::AtOnce {
                    deliver_run(run.network, Source::Input, &self.inputs, state);
                }
                self.group.clear();
                let recorded = replay.replay.read_step(moment)?;
                if recorded != shard || !replay.replay.emitted().is_empty() {
                    let n = replay.replay.emitted().len();
                    return Err(Replay::differs(
                        moment,
                        &format!("shard {recorded} delivers {n} spikes"),
                        &format!("shard {shard} begins, with none"),
                    ));
                }
                self.step(replay, shard, moment, slot)?;
                if shard + 1 == n_shards && run.options.input_mode == InputMode::Scheduled {
                    self.join_scheduled(replay, moment)?;
                }
                self.note_pending(replay.n_due);
                moment.step += 1;
            }
            let ending = loop {
                if !watch.go_on(A_STEP + self.group.len()) {
                    return Err(Error::Interrupted);
                }
                let unfinished = replay.n_due > 0;
                if let Some(ending) = Schedule::<T>::recorded_ending(&mut replay.replay, moment, unfinished)?
                {
                    break ending;
                }
                let shard = replay.replay.read_step(moment)?;
                self.emit(replay, shard, moment)?;
                self.step(replay, shard, moment, slot)?;
                self.note_pending(replay.n_due);
                moment.step += 1;
            };
            self.note_ending(ending);
            self.record_ending(ending);
            replay.states.iter_mut().for_each(State::end_timestep);
            if run.options.keep_output_v {
                for (number, v) in replay.states.iter().flat_map(|state| state.output_v(run.network)) {
                    slot.output_v[timestep][number] = v;
                }
            }
            if !matches!(ending, Ending::Carried(_)) {
                replay.due[replay.due_from..].fill(0);
                (replay.n_due, replay.due_from) = (0, replay.due.len());
            }
            if matches!(ending, Ending::Stopped(_)) {
                break;
            }
        }
        self.measures.synaptic_operations = replay.states.iter().map(|state| state.operations).sum();
        self.measures.neuron_updates = replay.states.iter().map(|state| state.updates).sum();
        if run.options.keep_state {
            replay.states.iter().for_each(|state| state.copy_state(slot.state));
        }
        Schedule::<T>::end_sample(&mut replay.replay, moment)
    }

    /// Delivers the spikes that a shard's step delivered according to the record.
    fn emit(&mut self, replay: &mut ShardedReplay<T>, shard: usize, moment: Moment) -> Result<(), Error> {
        self.group.clear();
        let n_emitted = replay.replay.emitted().len();
        for at in 0..n_emitted {
            let arrival = replay.replay.emitted()[at];
            if !replay.deliver(arrival, shard) {
                return Err(Replay::differs(
                    moment,
                    &format!("shard {shard} delivers spike {arrival}"),
                    "it does not wait there",
                ));
            }
            self.group.push(Pending::new(arrival, replay.replay.source(arrival)));
        }
        let (fates, waiting) = (&self.fates, &replay.multiplicities);
        deliver_group(
            self.run.network,
            &self.group,
            |arrival| {
                let found = waiting.binary_search_by_key(&arrival, |waiting| waiting.0);
                found.map_or(T::ZERO, |at| waiting[at].1)
            },
            |arrival| fates.any_lost() && fates.is_lost(arrival),
            |_| true,
            &mut replay.buffers,
            &mut replay.states[shard],
        );
        Ok(())
    }

    /// Updates a shard's neurons and carries out the firing of those that fire, which must be those in the record.
    fn step(
        &mut self,
        replay: &mut ShardedReplay<T>,
        shard: usize,
        moment: Moment,
        slot: &mut Slot<'_, T>,
    ) -> Result<(), Error> {
        replay.states[shard].update(self.run.network, &mut self.fired);
        self.settle_shard(&mut replay.states[shard], &mut replay.replay, shard, moment, slot)?;
        let flags = &self.fates.flags;
        let division = Arc::clone(&replay.division);
        let lost = |at: usize| flags.get(at).is_some_and(|flag| flag & crate::fates::LOST != 0);
        let shards = self
            .fired
            .iter()
            .enumerate()
            .map(|(at, &neuron)| if lost(at) { 1 << shard } else { division.reach.shards(neuron) });
        replay.joined(shards);
        Ok(())
    }

    fn join_scheduled(&mut self, replay: &mut ShardedReplay<T>, moment: Moment) -> Result<(), Error> {
        if self.inputs.is_empty() {
            return Ok(());
        }
        let n = self.run.network.n_neurons() as u32;
        let first = replay.due.len() as u32;
        let sources: Vec<u32> = self.inputs.iter().map(|input| input.0 + n).collect();
        replay.multiplicities.extend((first..).zip(&self.inputs).map(|(arrival, input)| (arrival, input.1)));
        Schedule::<T>::inputs_joined(&mut replay.replay, moment, first, &sources)?;
        if self.run.options.record {
            let channels: Vec<u32> = self.inputs.iter().map(|input| input.0).collect();
            self.writer.inputs_joined(&channels);
        }
        let division = Arc::clone(&replay.division);
        replay.joined(sources.iter().map(|source| division.reach.shards(*source)));
        self.take_arrivals(sources.len())
    }
}
