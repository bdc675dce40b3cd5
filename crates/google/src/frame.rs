//! The frame of a message in gRPC: a byte for compression, four bytes for the length, then the message.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

/// The number of bytes before the message.
pub(super) const PREFIX: usize = 5;

/// The reason why bytes are not one message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// The message is compressed. No service here has compression switched on.
    #[error("compressed messages are not supported")]
    Compressed,
    /// The bytes are no frame, more than one, or half of one.
    #[error("a call is exactly one message")]
    NotOne,
}

/// Returns the body of a call that has this message.
pub(super) fn wrap(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).expect("requests are limited to a few MiB"));
    message.encode(&mut frame).expect("a BytesMut grows");
    frame.freeze()
}

/// Returns the message in the body of a call, or of its answer.
pub(super) fn unwrap(frame: &Bytes) -> Result<Bytes, FrameError> {
    let Some((prefix, message)) = frame.split_first_chunk::<PREFIX>() else {
        return Err(FrameError::NotOne);
    };
    let [compressed, length @ ..] = *prefix;
    match compressed {
        0 if u32::from_be_bytes(length) as usize == message.len() => Ok(frame.slice(PREFIX..)),
        1 => Err(FrameError::Compressed),
        _ => Err(FrameError::NotOne),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_one_uncompressed_message() {
        let read = |frame: &'static [u8]| unwrap(&Bytes::from_static(frame));
        assert_eq!(read(b"\0\0\0\0\x02ab"), Ok(Bytes::from_static(b"ab")));
        assert_eq!(read(b"\0\0\0\0\0"), Ok(Bytes::new()));
        assert_eq!(read(b"\x01\0\0\0\x02ab"), Err(FrameError::Compressed));
        for broken in [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x03ab", b"\0\0\0\0\x01ab", b"\x02\0\0\0\0"]
        {
            assert_eq!(read(broken), Err(FrameError::NotOne), "{broken:?}");
        }
    }

    #[test]
    fn what_is_wrapped_comes_out_again() {
        let frame = wrap(&"hello".to_owned());
        assert_eq!(unwrap(&frame), Ok(Bytes::from("hello".to_owned().encode_to_vec())));
    }
}
