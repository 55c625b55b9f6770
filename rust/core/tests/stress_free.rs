use pyasync_core::*;

#[test]
fn a_spike_that_goes_round_between_shards_is_stopped() {
    let mut builder = NetworkBuilder::<f32>::new(1);
    let lif = || Lif { v_threshold: vec![0.5], refractory: Refractory::None, ..Lif::default() };
    let (a, b) = (builder.population("a", 1, lif()), builder.population("b", 1, lif()));
    let one = || Projection::dense(&[1.0], 1, 1).unwrap();
    builder.projection(Source::Input, a, one(), None);
    builder.projection(Source::Population(a), b, one(), None);
    builder.projection(Source::Population(b), a, one(), None);
    let network = builder.build().unwrap();
    let input = Input::dense_u8(&[1], 1, 1, 1).unwrap();
    let schedule = ScheduleSpec::FreeRunning(FreeRunning { group_size: 1, shards: Some(2), parallel: Parallel::Shards });
    for threads in [1, 2] {
        let options = Options { max_forward_steps: 1000, threads, ..Options::new(0.01) };
        let output = simulate(&network, &input, &schedule, &options, &mut |_| true).unwrap();
        assert_eq!(output.measures[0].stopped_by, StopReason::MaxForwardSteps);
    }
}
