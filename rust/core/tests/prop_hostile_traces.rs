//! Trace files that no run wrote, but whose checksum holds all the same: whatever their bytes say, every reader ends
//! with a result or an error that says what is wrong.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use pyasync_core::*;
use xxhash_rust::xxh3::xxh3_64;

const T: usize = 2;
const N_SAMPLES: usize = 2;
const X: [u8; T * N_SAMPLES * 2] = [1; T * N_SAMPLES * 2];
/// First bytes of records: a step with nothing in it, steps that emit or fire one spike, endings, and inputs.
const RECORDS: [u8; 8] = [0x00, 0x01, 0x10, 0x11, 0xF0, 0xF1, 0xF5, 0xFA];

/// Two inputs, four neurons behind them and four more behind those; every neuron fires at the first spike that reaches
/// it.
fn network() -> Network<f32> {
    let mut builder = NetworkBuilder::new(2);
    let lif = || Lif { v_threshold: vec![0.5], ..Lif::default() };
    let (a, b) = (builder.population("a", 4, lif()), builder.population("b", 4, lif()));
    builder.projection(Source::Input, a, Projection::dense(&[1.0; 8], 4, 2).unwrap(), None);
    builder.projection(Source::Population(a), b, Projection::dense(&[1.0; 16], 4, 4).unwrap(), None);
    builder.build().unwrap()
}

/// The kinds of runs whose records are altered.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Fifo,
    Scheduled,
    Sharded,
    ShardedWithDropouts,
    Layered,
}

const KINDS: [Kind; 5] =
    [Kind::Fifo, Kind::Scheduled, Kind::Sharded, Kind::ShardedWithDropouts, Kind::Layered];

impl Kind {
    fn schedule(self) -> ScheduleSpec {
        let free = |shards| FreeRunning { group_size: 2, shards: Some(shards), parallel: Parallel::Samples };
        match self {
            Self::Fifo | Self::Scheduled => ScheduleSpec::Fifo { group_size: 2 },
            Self::Sharded | Self::ShardedWithDropouts => ScheduleSpec::FreeRunning(free(2)),
            Self::Layered => ScheduleSpec::Layered { feedback: true },
        }
    }

    fn options(self) -> Options {
        let drops = matches!(self, Self::ShardedWithDropouts);
        let is_scheduled = drops || matches!(self, Self::Scheduled);
        Options {
            record: true,
            input_mode: if is_scheduled { InputMode::Scheduled } else { InputMode::AtOnce },
            dropout: drops.then_some(Dropout { refractory: 0.5, spike: 0.5, seed: 1 }),
            ..Options::new(0.01)
        }
    }

    fn run(self, schedule: &ScheduleSpec) -> Result<Output<f32>, Error> {
        let input = Input::dense_u8(&X, T, N_SAMPLES, 2)?;
        simulate(&network(), &input, schedule, &self.options(), &mut |_| true)
    }

    fn trace(self) -> Trace {
        self.run(&self.schedule()).unwrap().trace.unwrap()
    }
}

/// The parts of a file, as `trace/file.rs` describes it.
#[derive(Clone, Debug)]
struct File {
    header: String,
    /// Each sample's records and potentials.
    samples: Vec<(Vec<u8>, Vec<f32>)>,
}

/// Where the header begins: after the magic, the version and the header's length.
const HEADER: usize = 16;

impl File {
    fn of(trace: &Trace) -> Self {
        let file = trace.to_bytes();
        let number = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize;
        let sections = HEADER + u32::from_le_bytes(file[HEADER - 4..HEADER].try_into().unwrap()) as usize;
        let offsets = sections + 24;
        let v_offsets = offsets + 8 * (trace.n_samples() + 1);
        let bytes = v_offsets + 8 * (trace.n_samples() + 1);
        let v = bytes + number(sections + 8);
        let sample = |sample: usize| {
            let part = |offsets: usize| number(offsets + 8 * sample)..number(offsets + 8 * (sample + 1));
            let potential = |at: usize| f32::from_le_bytes(file[v + 4 * at..][..4].try_into().unwrap());
            (file[bytes..v][part(offsets)].to_vec(), part(v_offsets).map(potential).collect())
        };
        let header = String::from_utf8(file[HEADER..sections].to_vec()).unwrap();
        Self { header, samples: (0..trace.n_samples()).map(sample).collect() }
    }

    /// The offsets of the records, and those of the potentials.
    fn offsets(&self) -> [Vec<u64>; 2] {
        let ends = |length: fn(&(Vec<u8>, Vec<f32>)) -> usize| {
            let mut ends = vec![0];
            self.samples.iter().for_each(|sample| ends.push(ends[ends.len() - 1] + length(sample) as u64));
            ends
        };
        [ends(|sample| sample.0.len()), ends(|sample| sample.1.len())]
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.with_offsets(&self.offsets())
    }

    fn with_offsets(&self, offsets: &[Vec<u64>; 2]) -> Vec<u8> {
        let mut file = [&b"pyasynct\x01\0\0\0"[..], &(self.header.len() as u32).to_le_bytes()].concat();
        file.extend(self.header.bytes());
        let totals = self.offsets().map(|ends| ends[self.samples.len()]);
        let numbers = [self.samples.len() as u64].into_iter().chain(totals);
        file.extend(numbers.chain(offsets.iter().flatten().copied()).flat_map(u64::to_le_bytes));
        file.extend(self.samples.iter().flat_map(|sample| &sample.0));
        file.extend(self.samples.iter().flat_map(|sample| &sample.1).flat_map(|v| v.to_le_bytes()));
        let checksum = xxh3_64(&file);
        file.extend(checksum.to_le_bytes());
        file
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Replace(Index, u8),
    Insert(Index, u8),
    Remove(Index),
}

impl Edit {
    fn make(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Insert(at, byte) => bytes.insert(at.index(bytes.len() + 1), *byte),
            _ if bytes.is_empty() => {}
            Self::Replace(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Self::Remove(at) => _ = bytes.remove(at.index(bytes.len())),
        }
    }
}

fn bytes() -> impl Strategy<Value = u8> {
    prop_oneof![any::<u8>(), 0..16_u8, select(RECORDS.as_slice())]
}

/// What is done to a sample: edits, what is appended to its records, and how many more (or fewer) potentials it has.
fn alterations() -> impl Strategy<Value = (Vec<Edit>, Vec<u8>, isize)> {
    let edit = prop_oneof![
        3 => (any::<Index>(), bytes()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        1 => (any::<Index>(), bytes()).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        1 => any::<Index>().prop_map(Edit::Remove),
    ];
    let appended = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec(bytes(), 1..5),
        1 => (0..3_u8).prop_map(|channel| vec![0xFA, 1, channel]),
    ];
    (prop::collection::vec(edit, 0..4), appended, prop_oneof![2 => Just(0), 1 => -2..3_isize])
}

/// Reads the trace with everything that can read one; returns how each ended.
fn read(kind: Kind, file: &[u8]) -> Vec<(&'static str, Result<(), Error>)> {
    let trace = Arc::new(Trace::from_bytes(file).expect("a file whose sections and checksum hold"));
    let (network, input) = (network(), Input::dense_u8(&X, T, N_SAMPLES, 2).unwrap());
    let mut ended = vec![
        ("validate", trace.validate(&network)),
        ("to_steps", trace.to_steps().and_then(|steps| trace.with_steps(&steps)).map(drop)),
        ("to_events", trace.to_events().map(drop)),
        ("n_emitted", trace.n_emitted().map(drop)),
        ("replay", kind.run(&ScheduleSpec::Replay { trace: Arc::clone(&trace) }).map(drop)),
    ];
    for (name, scope) in [
        ("gradient of spikes", GradientScope::Spikes),
        ("gradient to the next emission", GradientScope::NextEmission),
        ("gradient of what was touched", GradientScope::Touched),
    ] {
        let options = GradientOptions { scope, ..GradientOptions::new(0.01) };
        let cotangents = Cotangents { counts: None, output_v: None, spike_counts: None, state: None };
        let ended_so = gradient(&network, &input, &trace, cotangents, &options, &mut |_| true);
        ended.push((name, ended_so.map(drop)));
    }
    ended
}

fn assert_none_panicked(kind: Kind, file: &[u8]) {
    for (name, ended) in read(kind, file) {
        assert!(!matches!(ended, Err(Error::Panic(_))), "{kind:?}, {name}: {ended:?}");
    }
}

/// What the tests below alter is sound to begin with.
#[test]
fn records_that_a_run_wrote_are_read_to_the_end() {
    for kind in KINDS {
        let trace = kind.trace();
        let file = File::of(&trace);
        assert!(file.samples.iter().all(|(bytes, v)| bytes.len() > 8 && !v.is_empty()), "{kind:?}");
        assert_eq!(file.to_bytes(), trace.to_bytes());
        for (name, ended) in read(kind, &file.to_bytes()) {
            ended.unwrap_or_else(|error| panic!("{kind:?}, {name}: {error}"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(4000)
    ))]

    #[test]
    fn records_that_no_run_wrote_end_in_a_named_error_or_a_result(
        kind in select(KINDS.as_slice()),
        sample in 0..N_SAMPLES,
        (edits, appended, potentials) in alterations(),
    ) {
        let mut file = File::of(&kind.trace());
        let (bytes, v) = &mut file.samples[sample];
        for edit in &edits {
            edit.make(bytes);
        }
        bytes.extend(appended);
        v.resize(v.len().saturating_add_signed(potentials), 1.0);
        assert_none_panicked(kind, &file.to_bytes());
    }
}

/// The property above finds this case, and the next, in most of its runs; here they are tested in every run.
#[test]
fn a_neuron_that_fires_in_another_shards_step_is_no_panic() {
    let trace = Kind::Sharded.trace();
    let steps = trace.to_steps().unwrap();
    let shards = &trace.header().shards;
    let mut fired = 0;
    for step in &steps.steps {
        if step.n_fired == 1 {
            for neuron in [0, shards[0] as u32 - 1, shards[0] as u32, shards[1] as u32 - 1] {
                let mut altered = steps.clone();
                altered.fired[fired] = neuron;
                assert_none_panicked(Kind::Sharded, &trace.with_steps(&altered).unwrap().to_bytes());
            }
        }
        fired += step.n_fired as usize;
    }
}

/// Any byte before the inputs may become a step that emits them.
#[test]
fn inputs_after_the_last_ending_are_no_panic() {
    for kind in KINDS {
        let file = File::of(&kind.trace());
        for at in 0..file.samples[0].0.len() {
            for byte in 0..16 {
                let mut file = file.clone();
                file.samples[0].0[at] = byte;
                file.samples[0].0.extend([0xFA, 1, 0]);
                assert_none_panicked(kind, &file.to_bytes());
            }
        }
    }
}

/// Added to the number of neurons, they wrap round 32 bits, to a neuron.
#[test]
fn channels_near_the_end_of_32_bits_are_no_neurons() {
    for kind in KINDS {
        let file = File::of(&kind.trace());
        for at in 0..=file.samples[0].0.len() {
            let mut file = file.clone();
            file.samples[0].0.splice(at..at, [0xFA, 1, 0xFE, 0xFF, 0xFF, 0xFF, 0x0F]);
            assert_none_panicked(kind, &file.to_bytes());
            for (name, ended) in read(kind, &file.to_bytes()) {
                let accepts = ended.is_ok() && (name == "validate" || name.starts_with("gradient"));
                assert!(!accepts, "{kind:?}, {name}, at {at}");
            }
        }
    }
}

#[test]
fn headers_and_sections_that_no_run_wrote_are_refused() {
    let refused = |file: &[u8], what: &str| {
        let read = Trace::from_bytes(file);
        assert!(matches!(read, Err(Error::Trace(_))), "{what}: {read:?}");
    };
    for (kind, from, to) in [
        (Kind::Fifo, r#""dtype":"float32""#, r#""dtype":"float16""#),
        (Kind::Fifo, r#""n_timesteps":2"#, r#""n_timesteps":0"#),
        (Kind::Fifo, r#""group_size":2"#, r#""group_size":0"#),
        (Kind::Fifo, r#""schedule":"fifo""#, r#""schedule":"filo""#),
        (Kind::Fifo, r#""schedule":"fifo""#, r#""schedule":"layered""#),
        (Kind::Layered, r#""group_size":0"#, r#""group_size":2"#),
        (Kind::Layered, r#""input_mode":"AtOnce""#, r#""input_mode":"Scheduled""#),
        (Kind::Layered, r#""on_stop":"Discard""#, r#""on_stop":"Carry""#),
        (Kind::Sharded, r#""schedule":"free""#, r#""schedule":"fifo""#),
        (Kind::Sharded, ",8]", ",7]"),
    ] {
        let mut file = File::of(&kind.trace());
        let header = file.header.replacen(from, to, 1);
        assert_ne!(header, file.header, "{from}");
        file.header = header;
        refused(&file.to_bytes(), to);
    }
    let file = File::of(&Kind::Fifo.trace());
    for section in 0..2 {
        let end = file.offsets()[section][N_SAMPLES];
        for altered in [[1, 1, end], [0, end + 1, end], [0, u64::MAX, end], [0, 1, end - 1], [0, 1, end + 1]]
        {
            let mut offsets = file.offsets();
            offsets[section] = altered.to_vec();
            refused(&file.with_offsets(&offsets), &format!("{offsets:?}"));
        }
    }
}
