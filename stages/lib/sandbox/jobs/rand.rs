//! What HumanEvalPack's Rust programs use of rand 0.4, whose gen_range takes two numbers: Rust/32, 38 and 50.
use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

thread_local!(static STATE: Cell<u64> = Cell::new(
    SystemTime::now().duration_since(UNIX_EPOCH).map(|t| t.as_nanos() as u64).unwrap_or(1) | 1
));

/// splitmix64 (https://prng.di.unimi.it/splitmix64.c)
fn next() -> u64 {
    STATE.with(|state| {
        let now = state.get().wrapping_add(0x9e3779b97f4a7c15);
        state.set(now);
        let mut z = now;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
        z ^ (z >> 31)
    })
}

pub struct ThreadRng;

pub fn thread_rng() -> ThreadRng {
    ThreadRng
}

pub trait Random {
    fn from_bits(bits: u64) -> Self;
}

pub trait Between: Sized {
    fn between(low: Self, high: Self) -> Self;
}

macro_rules! integers {
    ($($kind:ty)*) => {$(
        impl Random for $kind {
            fn from_bits(bits: u64) -> Self { bits as $kind }
        }
        impl Between for $kind {
            fn between(low: Self, high: Self) -> Self {
                assert!(low < high, "gen_range: low >= high");
                (low as i128 + (next() as i128) % (high as i128 - low as i128)) as $kind
            }
        }
    )*};
}
integers!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);

macro_rules! floats {
    ($($kind:ty)*) => {$(
        impl Random for $kind {
            fn from_bits(bits: u64) -> Self { (bits >> 40) as $kind / (1u64 << 24) as $kind }
        }
        impl Between for $kind {
            fn between(low: Self, high: Self) -> Self { low + (high - low) * <$kind as Random>::from_bits(next()) }
        }
    )*};
}
floats!(f32 f64);

impl Random for bool {
    fn from_bits(bits: u64) -> Self {
        bits & 1 == 1
    }
}

pub fn random<T: Random>() -> T {
    T::from_bits(next())
}

pub trait Rng {
    fn gen_range<T: Between>(&mut self, low: T, high: T) -> T {
        T::between(low, high)
    }
    fn gen<T: Random>(&mut self) -> T {
        random()
    }
}

impl Rng for ThreadRng {}
