//! Words on the command line that become values, or a line that says what is wrong.

use std::{net::SocketAddr, time::Duration};

/// A file name and nothing else.
pub(super) fn seat_name(text: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("1 to 64 of letters, digits, - and _".into())
    }
}

pub(super) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "HOST:PORT, HOST a number")?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("only loopback: whoever reaches this port reaches your files".into())
    }
}

/// `90m`, `4h`, `1h30m`, `45s`: whole numbers with units, largest first or not.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no time; say 90m, 4h or 1h30m");
    let mut total: u64 = 0;
    let mut number: Option<u64> = None;
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            let more = number
                .unwrap_or(0)
                .checked_mul(10)
                .and_then(|n| n.checked_add(u64::from(digit)));
            number = Some(more.ok_or_else(bad)?);
            continue;
        }
        let unit = match c {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return Err(bad()),
        };
        let part = number.take().and_then(|n| n.checked_mul(unit));
        total = part.and_then(|p| total.checked_add(p)).ok_or_else(bad)?;
    }
    if number.is_some() || total == 0 {
        return Err(bad());
    }
    Ok(Duration::from_secs(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_units() {
        for (text, seconds) in [("90m", 5400), ("4h", 14400), ("1h30m", 5400), ("45s", 45)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "90", "h", "1x", "-1h", "0s", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn files_are_served_on_loopback_only() {
        assert!(loopback("127.0.0.1:0").is_ok());
        assert!(loopback("[::1]:80").is_ok());
        for text in ["0.0.0.0:80", "192.168.1.2:80", "localhost", "127.0.0.1"] {
            assert!(loopback(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_seat_name_is_never_a_path() {
        for text in ["", "..", "a/b", "a.json", &"x".repeat(65)] {
            assert!(seat_name(text).is_err(), "{text}");
        }
    }
}
