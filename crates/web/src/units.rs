//! Settings with a unit, as people write them: `30s`, `24h`, `7d`, `48MiB`, `10%`, `10.0.0.0/8`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use engine::DiskReserve;
use ipnet::IpNet;
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// A length of time: a whole number and `ms`, `s`, `m`, `h` or `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationSetting(Duration);

/// An amount of memory: a whole number and `KiB`, `MiB` or `GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemorySetting(usize);

/// The room that stays free on a disk: an amount, a part as `10%`, or the smaller of both, as `256MiB or 10%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReserveSetting(DiskReserve);

/// A network such as `10.0.0.0/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkSetting(IpNet);

impl NetworkSetting {
    /// Returns whether an address is in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for NetworkSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = text.parse::<IpNet>().ok().map(|network| network.trunc());
        let network = network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        match network {
            None => Err(format!("{text:?} is no network such as 10.0.0.0/8, and no address")),
            Some(network) if network.prefix_len() == 0 => Err(format!(
                "{text:?} contains every address, and every client could claim any address"
            )),
            Some(network) => Ok(Self(network)),
        }
    }
}

impl DurationSetting {
    /// Creates a length of some seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Creates a length of some days.
    pub const fn days(days: u64) -> Self {
        Self::seconds(days * 24 * 3600)
    }

    /// Returns the length.
    pub fn get(self) -> Duration {
        self.0
    }
}

impl MemorySetting {
    /// Creates an amount of some MiB.
    pub const fn mebibytes(count: usize) -> Self {
        Self(count << 20)
    }

    /// Returns the number of bytes.
    pub fn get(self) -> usize {
        self.0
    }
}

impl ReserveSetting {
    /// Creates a reserve of some MiB or a part of the disk, the smaller of both.
    pub const fn mebibytes_or_percent(count: u64, percent: u8) -> Self {
        Self(DiskReserve { bytes: count << 20, percent })
    }

    /// Returns the reserve.
    pub fn get(self) -> DiskReserve {
        self.0
    }
}

/// Splits `12ab` into 12 and the factor that `units` has for `ab`, and returns their product.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

impl FromStr for DurationSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: &[(&str, u64)] =
            &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
        let millis = scaled(text, UNITS);
        millis
            .map(|millis| Self(Duration::from_millis(millis)))
            .ok_or_else(|| format!("{text:?} is no length of time such as 500ms, 30s, 24h or 7d"))
    }
}

impl FromStr for MemorySetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: &[(&str, u64)] = &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
        let bytes = scaled(text, UNITS).and_then(|bytes| usize::try_from(bytes).ok());
        bytes.map(Self).ok_or_else(|| format!("{text:?} is no amount of memory such as 48MiB"))
    }
}

impl FromStr for ReserveSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const MAX_PERCENT: u64 = 90;
        let problem = || {
            format!(
                "{text:?} is neither an amount such as 256MiB, nor up to {MAX_PERCENT}% of the disk, nor the \
                 smaller of both, as \"256MiB or 10%\""
            )
        };
        let (mut amount, mut part) = (None, None);
        for piece in text.split(" or ").map(str::trim) {
            let (place, value) = match scaled(piece, &[("%", 1)]) {
                Some(percent) if percent <= MAX_PERCENT => (&mut part, percent),
                Some(_) => return Err(problem()),
                None => {
                    let bytes: MemorySetting = piece.parse().map_err(|_| problem())?;
                    (&mut amount, bytes.get() as u64)
                }
            };
            if place.replace(value).is_some() {
                return Err(problem());
            }
        }
        let percent = part.and_then(|percent| u8::try_from(percent).ok());
        Ok(Self(DiskReserve {
            bytes: amount.unwrap_or(u64::MAX),
            percent: percent.unwrap_or(DiskReserve::WHOLE),
        }))
    }
}

/// Reads a value from a text. A bare number gets the same message as a text without a unit.
struct UnitVisitor<T>(std::marker::PhantomData<T>);

impl<T> Visitor<'_> for UnitVisitor<T>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a text in quotes")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        match number.to_string().parse::<T>() {
            Err(problem) => Err(E::custom(problem)),
            Ok(_) => Err(E::invalid_type(Unexpected::Signed(number), &self)),
        }
    }
}

fn parse<'de, D, T>(reader: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: fmt::Display,
{
    reader.deserialize_any(UnitVisitor(std::marker::PhantomData))
}

impl<'de> Deserialize<'de> for NetworkSetting {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        parse(reader)
    }
}

impl<'de> Deserialize<'de> for DurationSetting {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        parse(reader)
    }
}

impl<'de> Deserialize<'de> for ReserveSetting {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        parse(reader)
    }
}

impl<'de> Deserialize<'de> for MemorySetting {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        parse(reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, millis: Option<u128>) {
        let span = text.parse::<DurationSetting>().ok().map(|span| span.get().as_millis());
        assert_eq!(span, millis, "{text}");
    }

    #[test]
    fn spans() {
        check("0s", Some(0));
        check("250ms", Some(250));
        check("30s", Some(30_000));
        check("7d", Some(604_800_000));
        check("24 h", Some(86_400_000));
        check("30", None);
        check("s", None);
        check("-1s", None);
        check("1.5h", None);
        check("99999999999999999999d", None);
    }

    #[test]
    fn networks() {
        let inside = |network: &str, address: &str| {
            let network: NetworkSetting = network.parse().expect("a network");
            network.contains(address.parse().expect("an address"))
        };
        assert!(inside("10.1.2.3/8", "10.255.0.1"));
        assert!(inside("10.0.0.0/8", "::ffff:10.0.0.1"), "as a listener on [::] sees it");
        assert!(!inside("10.0.0.0/8", "11.0.0.1"));
        assert!(inside("127.0.0.1", "127.0.0.1") && !inside("127.0.0.1", "127.0.0.2"));
        assert!(inside("fd00::/8", "fd12::1") && !inside("::1", "::2"));
        for text in ["", "10.0.0.0/33", "proxy.internal", "10.0.0.1:80", "0.0.0.0/0", "::/0"] {
            assert!(text.parse::<NetworkSetting>().is_err(), "{text}");
        }
    }

    #[test]
    fn reserves() {
        let of = |text: &str| {
            text.parse::<ReserveSetting>().ok().map(|reserve| reserve.get().of(1 << 30))
        };
        assert_eq!(of("256MiB"), Some(256 << 20));
        assert_eq!(of("2GiB"), Some(2 << 30), "more than there is: nothing is taken");
        assert_eq!(of("2%"), Some((1 << 30) / 100 * 2));
        assert_eq!(of("256MiB or 10%"), Some((1 << 30) / 100 * 10));
        assert_eq!(of("90 % or 64 MiB"), Some(64 << 20));
        assert_eq!((of("0MiB"), of("0%")), (Some(0), Some(0)));
        for text in [
            "",
            "256",
            "256MB",
            "91%",
            "100%",
            "-1%",
            "1.5%",
            "%",
            "10% or",
            "or",
            "10% or 20%",
            "1MiB or 2MiB",
            "1MiB or 2% or 3%",
            "10%,1MiB",
            "300%",
            "18446744073709551616%",
            "1MiB OR 2%",
            "99999999999999GiB",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn amounts() {
        assert_eq!("48MiB".parse::<MemorySetting>(), Ok(MemorySetting::mebibytes(48)));
        assert!("48MB".parse::<MemorySetting>().is_err());
    }
}
