//! Bodies of bounded size.

use bytes::Bytes;
use reqwest::Response;

/// Why a body could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The body is larger than the cap.
    #[error("answer is larger than {cap} bytes")]
    TooLarge {
        /// The cap, in bytes after decompression.
        cap: usize,
    },
    /// The connection broke, stood still, or the compression is wrong.
    #[error("reading the answer: {0}")]
    Broken(String),
}

/// Reads a whole body of at most `cap` bytes, counted after decompression.
///
/// # Errors
/// [`ReadError`]; the rest of a larger body is not read.
pub async fn read_capped(response: Response, cap: usize) -> Result<Bytes, ReadError> {
    let mut body = Vec::new();
    read_into(response, cap, &mut body).await?;
    Ok(Bytes::from(body))
}

/// The same into a buffer of the caller's, such as one that is wiped afterwards.
pub(crate) async fn read_into(
    mut response: Response,
    cap: usize,
    body: &mut Vec<u8>,
) -> Result<(), ReadError> {
    let announced = response.content_length().unwrap_or(0);
    if announced > cap as u64 {
        return Err(ReadError::TooLarge { cap });
    }
    body.reserve(usize::try_from(announced).unwrap_or(0));
    while let Some(chunk) = next_chunk(&mut response).await? {
        if body.len() + chunk.len() > cap {
            return Err(ReadError::TooLarge { cap });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(())
}

async fn next_chunk(response: &mut Response) -> Result<Option<Bytes>, ReadError> {
    let chunk = response.chunk().await;
    chunk.map_err(|error| ReadError::Broken(tapline_core::chain(&error.without_url())))
}
