//! How long a request may take: `timeout` of the query, in Go's form of durations, up to upstream's bound.

use std::time::Duration;

use api::Status;

use crate::verbs::Params;

/// What a request that is no watch and no stream may take; upstream's.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The time that the request may take. A watch has its own.
pub fn of(params: &Params, is_watch: bool) -> Result<Duration, Status> {
    let Some(text) = params.get("timeout").filter(|_| !is_watch) else { return Ok(REQUEST_TIMEOUT) };
    let asked = parse(text).map_err(|why| {
        Status::bad_request(format!("invalid timeout specified in the request URL - time: {why} {text:?}"))
    })?;
    let wanted = asked.filter(|asked| !asked.is_zero()).unwrap_or(REQUEST_TIMEOUT);
    Ok(wanted.min(REQUEST_TIMEOUT))
}

/// Reads `1m30s`, `1.5h`, `0`. A negative duration is none.
fn parse(text: &str) -> Result<Option<Duration>, &'static str> {
    const INVALID: &str = "invalid duration";
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Some(Duration::ZERO));
    }
    let mut total = 0f64;
    let mut any = false;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or("missing unit in duration")?;
        let number: f64 = rest[..end].parse().map_err(|_| INVALID)?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let seconds = match &rest[..end] {
            "ns" => 1e-9,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(INVALID),
        };
        total += number * seconds;
        any = true;
        rest = &rest[end..];
    }
    if !any || !total.is_finite() {
        return Err(INVALID);
    }
    let total = Duration::try_from_secs_f64(total).unwrap_or(REQUEST_TIMEOUT);
    Ok(Some(total).filter(|_| !negative))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn durations_are_gos_and_bounded() {
        let texts = ["", "10s", "1m30s", "1.5s", "500ms", "0", "-5s", "2h", "10", "x", "5y", "s"];
        let line = |text: &str| {
            let params = Params(vec![("timeout".to_owned(), text.to_owned())]);
            match of(&params, false) {
                Ok(time) => format!("{text} -> {time:?}\n"),
                Err(status) => format!("{text} -> {} {}\n", status.code, status.message),
            }
        };
        expect![[r#"
             -> 60s
            10s -> 10s
            1m30s -> 60s
            1.5s -> 1.5s
            500ms -> 500ms
            0 -> 60s
            -5s -> 60s
            2h -> 60s
            10 -> 400 invalid timeout specified in the request URL - time: missing unit in duration "10"
            x -> 400 invalid timeout specified in the request URL - time: invalid duration "x"
            5y -> 400 invalid timeout specified in the request URL - time: invalid duration "5y"
            s -> 400 invalid timeout specified in the request URL - time: invalid duration "s"
        "#]]
        .assert_eq(&texts.map(line).concat());
    }
}
