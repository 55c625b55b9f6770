//! What a run measures in each sample (`docs/semantics.md`, "Measures").

/// One sample's measures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measures {
    /// Spikes fired by neurons.
    pub spikes: u64,
    /// Forward steps, step 0 of each timestep included.
    pub forward_steps: u64,
    /// Events delivered, biases excepted.
    pub synaptic_operations: u64,
    /// Touched neurons summed over forward steps.
    pub neuron_updates: u64,
    /// Longest pending queue after a forward step.
    pub max_pending: u64,
    /// Sum of the queue's lengths after each forward step.
    pub sum_pending: u64,
    /// For each spike, the number of events that had arrived at its neuron in the timestep when it fired; summed over
    /// all spikes.
    pub sum_events: u64,
    /// Spikes fired before the first output spike.
    pub latency: Option<u64>,
    /// Whether every timestep ran until no spike was pending.
    pub reached_quiescence: bool,
    /// What stopped the sample otherwise.
    pub stopped_by: crate::options::StopReason,
}
