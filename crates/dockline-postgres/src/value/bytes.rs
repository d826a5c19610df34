//! Bytes of a value, taken from the front.

/// Takes a message apart, from its front.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    pub(super) fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        array(self.take(N)?)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.fixed().map(i32::from_be_bytes)
    }

    pub(super) fn double(&mut self) -> Option<f64> {
        self.fixed().map(f64::from_be_bytes)
    }

    /// What stands behind its length; a length of -1 is null.
    #[expect(clippy::option_option, reason = "broken, null, there")]
    pub(super) fn field(&mut self) -> Option<Option<&'a [u8]>> {
        match self.i32()? {
            -1 => Some(None),
            length => self.take(usize::try_from(length).ok()?).map(Some),
        }
    }
}

pub(super) fn array<const N: usize>(raw: &[u8]) -> Option<[u8; N]> {
    raw.try_into().ok()
}
