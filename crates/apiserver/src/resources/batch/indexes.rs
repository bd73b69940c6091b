//! Sets of completion indexes as Jobs write them: `0,2-5,9`, growing.

/// How many indexes there are, all below `completions`.
pub fn count(text: &str, completions: i64) -> Result<i64, String> {
    let mut total = 0;
    let mut last: Option<i64> = None;
    for interval in text.split(',').filter(|_| !text.is_empty()) {
        let (first, end) = parse(interval, completions)?;
        if let Some(last) = last.filter(|last| *last >= first) {
            return Err(not_growing(last, first));
        }
        total += end - first + 1;
        last = Some(end);
    }
    Ok(total)
}

/// The first index that is in both. What cannot be read is passed over; [`count`] tells of it.
pub fn overlap(one: &str, other: &str, completions: i64) -> Option<i64> {
    let intervals = |text: &str| -> Vec<(i64, i64)> {
        text.split(',').filter_map(|interval| parse(interval, completions).ok()).collect()
    };
    let (one, other) = (intervals(one), intervals(other));
    let (mut at, mut beside) = (0, 0);
    while let (Some(a), Some(b)) = (one.get(at), other.get(beside)) {
        if a.0 <= b.1 && b.0 <= a.1 {
            return Some(a.0.max(b.0));
        }
        if a.0 <= b.0 { at += 1 } else { beside += 1 }
    }
    None
}

fn parse(interval: &str, completions: i64) -> Result<(i64, i64), String> {
    let ends: Vec<&str> = interval.split('-').collect();
    let index = |text: &str| -> Result<i64, String> {
        let number: i64 = text.parse().map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
        if number >= completions { Err(format!("too large index: {text:?}")) } else { Ok(number) }
    };
    match ends.as_slice() {
        [only] => index(only).map(|only| (only, only)),
        [first, last] => {
            let (first, last) = (index(first)?, index(last)?);
            if first >= last { Err(not_growing(first, last)) } else { Ok((first, last)) }
        }
        _ => Err(format!(
            "the fragment {interval:?} violates the requirement that an index interval can have at most two parts \
             separated by '-'"
        )),
    }
}

fn not_growing(previous: i64, current: i64) -> String {
    format!("non-increasing order, previous: {previous}, current: {current}")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn indexes_are_counted_or_told_why_not() {
        let rows = ["", "0", "0,2,4", "1,3,5-9", "invalid-format", "0-1-2", "3,3", "5-5", "9-11", "10", "1,0", "-1"];
        let told: String = rows.iter().map(|row| format!("{row:?} {:?}\n", count(row, 10))).collect();
        expect![[r#"
            "" Ok(0)
            "0" Ok(1)
            "0,2,4" Ok(3)
            "1,3,5-9" Ok(7)
            "invalid-format" Err("cannot convert string to integer for index: \"invalid\"")
            "0-1-2" Err("the fragment \"0-1-2\" violates the requirement that an index interval can have at most two parts separated by '-'")
            "3,3" Err("non-increasing order, previous: 3, current: 3")
            "5-5" Err("non-increasing order, previous: 5, current: 5")
            "9-11" Err("too large index: \"11\"")
            "10" Err("too large index: \"10\"")
            "1,0" Err("non-increasing order, previous: 1, current: 0")
            "-1" Err("cannot convert string to integer for index: \"\"")
        "#]]
        .assert_eq(&told);
    }

    #[test]
    fn the_first_common_index_is_found() {
        let rows = [("0-3", "3"), ("0,2", "1,3"), ("1,4-6", "0,5-9"), ("", "1"), ("x,7", "7")];
        let found: Vec<Option<i64>> = rows.iter().map(|(one, other)| overlap(one, other, 10)).collect();
        assert_eq!(found, [Some(3), None, Some(5), None, Some(7)]);
    }
}
