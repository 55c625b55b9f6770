use pyasync_core::*;
fn main() -> Result<(), Error> {
    let sizes = if std::env::args().nth(1).as_deref() == Some("b") {
        vec![700, 128, 128, 20]
    } else {
        vec![2312, 64, 64, 64, 10]
    };
    let (b, t) = if sizes[0] == 700 {
        (128, 100)
    } else {
        (256, 10)
    };
    let schedule = std::env::args().nth(2).unwrap_or("random".into());
    let record = std::env::args().nth(3).is_some();
    let mut seed = 1u64;
    let mut rnd = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) as f32 / (1u64 << 53) as f32
    };
    let mut builder = NetworkBuilder::<f32>::new(sizes[0]);
    let mut source = Source::Input;
    for w in sizes.windows(2) {
        let p = builder.population(
            &format!("p{:p}", w),
            w[1],
            Lif {
                v_threshold: vec![0.3],
                ..Lif::default()
            },
        );
        let a = 2.0 * (6.0 / (w[0] + w[1]) as f32).sqrt();
        let weights: Vec<f32> = (0..w[0] * w[1]).map(|_| a * (2.0 * rnd() - 1.0)).collect();
        builder.projection(source, p, Projection::dense(&weights, w[1], w[0])?, None);
        source = Source::Population(p);
    }
    let network = builder.build()?;
    let (mut channel, mut offsets) = (vec![], vec![0i64]);
    for _ in 0..b * t {
        for c in 0..sizes[0] as u32 {
            if rnd() < 0.03 {
                channel.push(c)
            }
        }
        offsets.push(channel.len() as i64);
    }
    let input = Input::events(&channel, &offsets, None, t, sizes[0])?;
    let spec = match schedule.as_str() {
        "fifo" => ScheduleSpec::Fifo { group_size: 8 },
        "momentum" => ScheduleSpec::Momentum {
            group_size: 8,
            noise: 0.0,
            seed: 0,
        },
        "layered" => ScheduleSpec::Layered { feedback: true },
        _ => ScheduleSpec::Random {
            group_size: 8,
            seed: 0,
        },
    };
    let mut options = Options::new(0.01);
    options.record = record;
    let mut times = vec![];
    for _ in 0..60 {
        let start = std::time::Instant::now();
        let out = simulate(&network, &input, &spec, &options, &mut |_| true)?;
        times.push((
            start.elapsed().as_secs_f64() * 1e3,
            out.measures.iter().map(|m| m.spikes).sum::<u64>(),
            out.measures.iter().map(|m| m.forward_steps).sum::<u64>(),
        ));
    }
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    println!("{:?} min {:?}", times[30], times[0].0);
    Ok(())
}
