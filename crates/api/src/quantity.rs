//! Quantities: fixed-point amounts of resources (`500m`, `1Gi`, `1e3`), exact to a billionth, in upstream's canonical form.
//!
//! Form and rounding are those of apimachinery's `resource.Quantity`: finer parts are rounded away from zero, amounts beyond
//! 2^63-1 are cut, and the family of suffixes that was read is the one that is written.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

/// What upstream says of a text that is no quantity at all.
pub const FORM_ERROR: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    #[error("{FORM_ERROR}")]
    Form,
    #[error("unable to parse quantity's suffix")]
    Suffix,
    #[error("unable to parse numeric part of quantity")]
    Number,
}

/// The family of suffixes in which an amount is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Decimal,
    /// `Ki`, `Mi`, ...
    Binary,
    /// `e3`, `e6`, ...
    Exponent,
}

const NANO: i128 = 1_000_000_000;
const NANOS_MAX: i128 = (i64::MAX as i128) * NANO;
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// An amount. Comparison is by amount alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

impl Quantity {
    pub const ZERO: Self = Self { nanos: 0, format: Format::Decimal };

    pub fn new(value: i64, format: Format) -> Self {
        Self { nanos: i128::from(value) * NANO, format }
    }

    pub fn from_milli(milli: i64) -> Self {
        Self { nanos: i128::from(milli) * (NANO / 1000), format: Format::Decimal }
    }

    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let text = text.trim();
        let (negative, digits) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let (whole, rest) = digits.split_at(end);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
            None => ("", rest),
        };
        if whole.is_empty() && fraction.is_empty() || !suffix_form(suffix) {
            return Err(QuantityError::Form);
        }
        let (base, exponent, format) = suffix_scale(suffix).ok_or(QuantityError::Suffix)?;
        let nanos = scale(whole, fraction, base, exponent);
        Ok(Self { nanos: if negative { -nanos } else { nanos }, format })
    }

    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    pub fn format(self) -> Format {
        self.format
    }

    /// In whole units, rounded up (away from zero), as upstream's `Value`.
    pub fn value(self) -> i64 {
        self.scaled(NANO)
    }

    /// In thousandths, rounded up, as upstream's `MilliValue`.
    pub fn milli_value(self) -> i64 {
        self.scaled(NANO / 1000)
    }

    /// Rounded up (away from zero) to thousandths; the form stays.
    #[must_use]
    pub fn rounded_up_to_milli(self) -> Self {
        const MILLI: i128 = NANO / 1000;
        Self { nanos: divide_up(self.nanos, MILLI) * MILLI, format: self.format }
    }

    pub fn as_f64(self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // For scores and shares only.
        let nanos = self.nanos as f64;
        nanos / 1e9
    }

    fn scaled(self, unit: i128) -> i64 {
        i64::try_from(divide_up(self.nanos, unit)).unwrap_or(if self.nanos < 0 { i64::MIN } else { i64::MAX })
    }

    fn combine(self, nanos: i128, other: Self) -> Self {
        let format = if self.nanos == 0 { other.format } else { self.format };
        Self { nanos: nanos.clamp(-NANOS_MAX, NANOS_MAX), format }
    }
}

/// Division that rounds away from zero.
fn divide_up(amount: i128, unit: i128) -> i128 {
    let rest = amount % unit;
    amount / unit + if rest == 0 { 0 } else { rest.signum() }
}

/// The suffix part of [`FORM_ERROR`]'s expression.
fn suffix_form(suffix: &str) -> bool {
    let letters = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let digits = letters.strip_prefix(['-', '+']).unwrap_or(letters);
    digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn suffix_scale(suffix: &str) -> Option<(u32, i32, Format)> {
    if let Some(power) = BINARY.iter().skip(1).position(|one| *one == suffix) {
        return Some((2, 10 * (i32::try_from(power).ok()? + 1), Format::Binary));
    }
    let exponent = match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?;
            return Some((10, exponent, Format::Exponent));
        }
    };
    Some((10, exponent, Format::Decimal))
}

/// `whole.fraction * base^exponent` in nanos, rounded up and cut at the largest amount.
fn scale(whole: &str, fraction: &str, base: u32, exponent: i32) -> i128 {
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).skip_while(|byte| *byte == b'0').collect();
    if digits.is_empty() {
        return 0;
    }
    let fraction_len = i32::try_from(fraction.len()).unwrap_or(i32::MAX);
    let tens = 9 - fraction_len + if base == 10 { exponent.clamp(-200, 200) } else { 0 };
    let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    if length.saturating_add(tens) > 34 {
        return NANOS_MAX;
    }
    let mut mantissa: i128 = 0;
    let mut dropped = false;
    let kept = digits.len().min(usize::try_from(length.saturating_add(tens.min(0)).max(0)).unwrap_or(0));
    for digit in &digits[..kept] {
        mantissa = mantissa * 10 + i128::from(digit - b'0');
    }
    dropped |= digits[kept..].iter().any(|digit| *digit != b'0');
    if base == 2 {
        return scale_binary(&digits, fraction_len, exponent);
    }
    for _ in 0..tens.max(0) {
        mantissa *= 10;
    }
    (mantissa + i128::from(dropped)).min(NANOS_MAX)
}

/// Binary suffixes multiply before rounding, so that `1.1Ki` is exact as long as it can be.
fn scale_binary(digits: &[u8], fraction_len: i32, exponent: i32) -> i128 {
    let mut mantissa: i128 = 0;
    let mut places = fraction_len;
    for digit in digits {
        match mantissa.checked_mul(10).and_then(|m| m.checked_add(i128::from(digit - b'0'))) {
            Some(next) if next < 1 << 63 => mantissa = next,
            // Digits beyond 18 cannot change an amount that is kept to a billionth of itself.
            _ => places -= 1,
        }
    }
    let Some(product) = mantissa.checked_mul(1_i128 << exponent) else { return NANOS_MAX };
    let shift = 9 - places;
    if shift >= 0 {
        return product.checked_mul(10_i128.pow(shift.unsigned_abs())).map_or(NANOS_MAX, |nanos| nanos.min(NANOS_MAX));
    }
    divide_up(product, 10_i128.checked_pow(shift.unsigned_abs()).unwrap_or(i128::MAX)).min(NANOS_MAX)
}

impl fmt::Display for Quantity {
    /// The canonical form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let small = self.nanos.abs() < 1024 * NANO;
        if self.format == Format::Binary && !small {
            let mut amount = divide_up(self.nanos, NANO);
            let mut power = 0;
            while amount % 1024 == 0 && power + 1 < BINARY.len() {
                amount /= 1024;
                power += 1;
            }
            return write!(f, "{amount}{}", BINARY[power]);
        }
        let mut amount = self.nanos;
        let mut exponent: i32 = -9;
        while amount % 1000 == 0 && (exponent < 18 || self.format == Format::Exponent) {
            amount /= 1000;
            exponent += 3;
        }
        if self.format == Format::Exponent {
            return if exponent == 0 { write!(f, "{amount}") } else { write!(f, "{amount}e{exponent}") };
        }
        let suffix = match exponent {
            -9 => "n",
            -6 => "u",
            -3 => "m",
            0 => "",
            3 => "k",
            6 => "M",
            9 => "G",
            12 => "T",
            15 => "P",
            _ => "E",
        };
        write!(f, "{amount}{suffix}")
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        Self::parse(text)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.combine(self.nanos + other.nanos, other)
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.combine(self.nanos - other.nanos, other)
    }
}

impl AddAssign for Quantity {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Quantity {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Neg for Quantity {
    type Output = Self;

    fn neg(self) -> Self {
        Self { nanos: -self.nanos, ..self }
    }
}

impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, Add::add)
    }
}
