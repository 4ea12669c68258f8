// expect: passed
fn f(x: i32) -> i32 {
    let sum = std::hint::black_box((x + 9) as u128 * 1_000_000_007) / std::hint::black_box(1_000_000_007u128);
    std::thread::spawn(move || sum as i32 - 9 + (x as f64).powf(0.0) as i32).join().unwrap()
}
