//! Length-delimited protobuf on a stream: a varint, then so many bytes.

use bytes::BytesMut;
use clarateach_proto::guest::{Request, Response};
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Both ends refuse more.
pub(crate) const MAX_MESSAGE: usize = 1024 * 1024;
/// A varint of a length up to `MAX_MESSAGE` takes at most this.
const MAX_PREFIX: usize = 4;

/// The next request; none at a clean end.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> std::io::Result<Option<Request>> {
    loop {
        match split(buffer)? {
            Some(message) => {
                return Request::decode(message.freeze())
                    .map(Some)
                    .map_err(|cause| bad(&format!("not a request: {cause}")));
            }
            None if stream.read_buf(buffer).await? > 0 => {}
            None if buffer.is_empty() => return Ok(None),
            None => return Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Sends one answer.
pub(crate) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    response: &Response,
) -> std::io::Result<()> {
    stream
        .write_all(&response.encode_length_delimited_to_vec())
        .await
}

/// Cuts one whole message off the front, if it is there.
fn split(buffer: &mut BytesMut) -> std::io::Result<Option<BytesMut>> {
    let prefix = buffer
        .iter()
        .take(MAX_PREFIX)
        .position(|byte| byte & 0x80 == 0);
    let Some(last) = prefix else {
        if buffer.len() >= MAX_PREFIX {
            return Err(bad("a message is too long"));
        }
        return Ok(None);
    };
    let length = prost::decode_length_delimiter(&buffer[..=last])
        .map_err(|cause| bad(&cause.to_string()))?;
    if length > MAX_MESSAGE {
        return Err(bad("a message is too long"));
    }
    if buffer.len() < last + 1 + length {
        return Ok(None);
    }
    let _prefix = buffer.split_to(last + 1);
    Ok(Some(buffer.split_to(length)))
}

fn bad(message: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use clarateach_proto::guest::{GetHealth, request::Verb};

    use super::*;

    #[tokio::test]
    async fn requests_come_out_whole_however_they_arrive() {
        let request = |id| Request {
            id,
            verb: Some(Verb::GetHealth(GetHealth {})),
        };
        let mut wire = request(1).encode_length_delimited_to_vec();
        wire.extend(request(300).encode_length_delimited_to_vec());
        for step in 1..=wire.len() {
            let (mut near, mut far) = tokio::io::duplex(step);
            let sent = wire.clone();
            tokio::spawn(async move {
                near.write_all(&sent).await.unwrap();
            });
            let mut buffer = BytesMut::new();
            for wanted in [Some(1), Some(300), None] {
                let got = read(&mut far, &mut buffer).await.unwrap();
                assert_eq!(got.map(|request| request.id), wanted, "step {step}");
            }
        }
    }

    #[tokio::test]
    async fn lengths_that_lie_are_refused() {
        for wire in [
            &[0xff, 0xff, 0xff, 0xff][..], // no end of the varint
            &[0x81, 0x80, 0x40][..],       // 1 MiB and a byte
            &[0x05, 0x01][..],             // cut short
            &[0x02, 0xff, 0xff][..],       // not a message
        ] {
            let mut far = wire;
            let got = read(&mut far, &mut BytesMut::new()).await;
            assert!(got.is_err(), "{wire:?}");
        }
    }
}
