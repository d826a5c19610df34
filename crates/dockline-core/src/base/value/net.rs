//! Addresses of the internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{FromValue, ToValue, Value, ValueError};

impl FromValue for IpAddr {
    /// From text, from PostgreSQL's `inet` and MariaDB's `INET6`, and from the bytes of MySQL's `INET6_ATON`.
    fn from_value(value: Value) -> Result<Self, ValueError> {
        let parse = |text: &str| match text.parse() {
            Ok(address) => Ok(address),
            Err(_) if text.contains('/') => {
                Err(ValueError::new("is a network and no IpAddr: it has a netmask; read it as String"))
            }
            Err(_) => Err(ValueError::new("text is no IpAddr")),
        };
        match &value {
            Value::Text(text) => parse(text),
            Value::Other(other) => other.text().map_or_else(|| Err(ValueError::mismatch("IpAddr", &value)), parse),
            Value::Bytes(bytes) => match (<[u8; 4]>::try_from(&bytes[..]), <[u8; 16]>::try_from(&bytes[..])) {
                (Ok(four), _) => Ok(Ipv4Addr::from(four).into()),
                (_, Ok(sixteen)) => Ok(Ipv6Addr::from(sixteen).into()),
                _ => Err(ValueError::new("has neither the 4 nor the 16 bytes of an IpAddr")),
            },
            _ => Err(ValueError::mismatch("IpAddr", &value)),
        }
    }
}

impl ToValue for IpAddr {
    fn to_value(&self) -> Value {
        Value::Text(self.to_string())
    }
}

macro_rules! one_kind {
    ($type:ty, $variant:ident, $name:literal) => {
        impl FromValue for $type {
            fn from_value(value: Value) -> Result<Self, ValueError> {
                match IpAddr::from_value(value)? {
                    IpAddr::$variant(address) => Ok(address),
                    _ => Err(ValueError::new(concat!("is no ", $name, "; read it as IpAddr"))),
                }
            }
        }

        impl ToValue for $type {
            fn to_value(&self) -> Value {
                Value::Text(self.to_string())
            }
        }
    };
}

one_kind!(Ipv4Addr, V4, "Ipv4Addr");
one_kind!(Ipv6Addr, V6, "Ipv6Addr");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::value::Other;

    #[test]
    fn an_address_is_read_from_every_form_that_servers_have() {
        let address: IpAddr = "10.1.2.3".parse().unwrap();
        let inet = |text: &str| Value::Other(Box::new(Other::new("inet", text)));
        for value in [address.to_value(), inet("10.1.2.3"), Value::Bytes(vec![10, 1, 2, 3])] {
            assert_eq!(IpAddr::from_value(value).unwrap(), address);
        }
        let sixteen = Value::Bytes(Ipv6Addr::LOCALHOST.octets().to_vec());
        assert_eq!(Ipv6Addr::from_value(sixteen.clone()).unwrap(), Ipv6Addr::LOCALHOST);
        assert!(Ipv4Addr::from_value(sixteen).is_err());
        let error = IpAddr::from_value(inet("10.0.0.0/8")).unwrap_err().to_string();
        assert!(error.contains("netmask"), "{error}");
        assert!(IpAddr::from_value(Value::Int(1)).is_err());
    }
}
