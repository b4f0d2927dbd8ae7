//! `POST /v1/ship`: lines of files, from `attestree ship`. See [`crate::source::ship`] for the body.
//!
//! 200 says that all of them are in the log; whatever else is answered, all of them are to be sent again.

use axum::{
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};

use super::{super::text, body, denied, source_of};
use crate::{
    service::{
        Desk,
        grpc::Denial,
        source::{Placed, SourceKind},
    },
    source::ship::items,
};

/// Takes the lines in the body of a request.
pub(super) async fn receive(desk: &Desk, request: Request) -> Response {
    if *request.method() != Method::POST {
        let sentence = "this address takes lines by POST only\n";
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, sentence);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    take(desk, request).await.unwrap_or_else(|denial| denied(&denial))
}

/// Takes the lines.
async fn take(desk: &Desk, request: Request) -> Result<Response, Denial> {
    let source = source_of(desk, SourceKind::Ship, &request)?;
    // Its sender keeps what is refused, and sends it whole or in smaller parts.
    let body = body(&source, request).await?.whole(&source)?;
    let max = source.bounds().items;
    let items = items(&body, max).ok_or_else(|| {
        let denial = Denial::many_items(max);
        source.meter().refuse(denial.reason());
        denial
    })?;
    drop(body);
    let placed = desk.take(&source, items).await?;
    let duplicates = placed.iter().filter(|placed| matches!(placed, Placed::Duplicate { .. }));
    let answer = serde_json::json!({ "taken": placed.len(), "duplicates": duplicates.count() });
    let mut response = text(StatusCode::OK, format!("{answer}\n"));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}
