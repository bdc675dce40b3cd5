//! Tokens that service accounts sign themselves, with the key from their key file.

use meta::accounts::{self, AccountKeyRow};
use model::principal::{AccountEmail, Principal};
use serde::Deserialize;

use crate::caller::TokenSubject;
use crate::clock::Micros;
use crate::credentials::account_key::{KeyKind, is_key_id};
use crate::credentials::crypto::verify_rs256;
use crate::credentials::jwt::{self, TokenHeader, UnverifiedToken};
use crate::credentials::key_file;
use crate::error::{
    CredentialError, IdentityError, JwtError, MAX_SELF_SIGNED_LIFE, WrongTokenTimes,
};
use crate::identity::Identity;
use crate::tokens::provenance::TokenProvenance;

/// The accepted difference between the clock of the signer and that of the registry, in seconds.
const MAX_CLOCK_SKEW: i64 = 60;

/// The claims of a token that a service account signed itself. Times are whole seconds since 1970.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SignedAssertion {
    pub(crate) iss: String,
    #[serde(default)]
    pub(crate) sub: Option<String>,
    #[serde(default)]
    pub(crate) aud: Option<String>,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    #[serde(default)]
    pub(crate) nbf: Option<i64>,
    #[serde(default)]
    pub(crate) scope: Option<String>,
    #[serde(default)]
    pub(crate) target_audience: Option<String>,
}

impl Identity {
    /// Checks the key, account, signature and times of a token that a service account signed itself. The audience,
    /// `aud`, is left to the calling function.
    pub(crate) async fn check_assertion(
        &self,
        unverified: &UnverifiedToken<'_>,
    ) -> Result<(SignedAssertion, TokenSubject), IdentityError> {
        let header = &unverified.header;
        if header.alg != "RS256" {
            return Err(JwtError("the algorithm is not that of the key").into());
        }
        let kid = header.kid.clone().ok_or(JwtError("the header names no key"))?;
        let claimed: SignedAssertion = unverified.claims()?;
        let (key, subject) = self.account_key(&claimed.iss, &kid).await?;
        let assertion: SignedAssertion = unverified
            .verified(|message, signature| verify_rs256(&key.public_key, message, signature))?;
        if assertion.sub.as_ref().is_some_and(|sub| *sub != assertion.iss) {
            return Err(JwtError("the subject is not the issuer").into());
        }
        check_times(&assertion, self.clock.now() / 1_000_000)?;
        Ok((assertion, subject))
    }

    /// Returns the key with that id, if it belongs to that account and both are good now.
    pub(crate) async fn account_key(
        &self,
        email: &str,
        id: &str,
    ) -> Result<(AccountKeyRow, TokenSubject), IdentityError> {
        let email: AccountEmail =
            email.parse().map_err(|_| JwtError("the issuer is not a service account"))?;
        let (id, now) = (id.to_owned(), self.clock.now());
        self.read(move |tx| {
            let key = if is_key_id(&id) { accounts::find_key(tx, &id)? } else { None };
            let key = key
                .filter(|key| key.account == email.as_str())
                .ok_or(JwtError("the key is unknown"))?;
            // A system-managed key signs for other servers to check. Here, its signature would stay good when the
            // caller who asked for it has lost the right to ask, and nobody can delete this key.
            if KeyKind::of(&key) == KeyKind::SystemManaged {
                return Err(JwtError("the key is system-managed").into());
            }
            if key.disabled
                || key.valid_after > now + MAX_CLOCK_SKEW * 1_000_000
                || key.valid_before <= now
            {
                return Err(CredentialError::KeyDisabled.into());
            }
            let account = accounts::find_enabled(tx, email.as_str())?
                .ok_or(CredentialError::AccountDisabled)?;
            let subject = TokenSubject {
                principal: Principal::ServiceAccount(email.clone()),
                uid: Some(account.unique_id),
                key: Some(key.id.clone()),
                provenance: TokenProvenance::default(),
            };
            Ok((key, subject))
        })
        .await
    }
}

/// Returns a token that the holder of a key file signs, for an hour. No server is asked.
pub fn self_signed_token(file: &str, now: Micros) -> Result<String, CredentialError> {
    let file = key_file::parse(file)?;
    let key = file.private_key()?;
    let now = now / 1_000_000;
    let claims = serde_json::json!({
        "iss": file.client_email,
        "sub": file.client_email,
        "iat": now,
        "exp": now + MAX_SELF_SIGNED_LIFE,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
    });
    let header = TokenHeader {
        alg: "RS256".to_owned(),
        typ: Some("JWT".to_owned()),
        kid: Some(file.private_key_id),
    };
    let signed = jwt::encode(&header, &claims, |message| key.sign(message));
    signed.map_err(|_| CredentialError::KeyFile)
}

fn check_times(assertion: &SignedAssertion, now: i64) -> Result<(), CredentialError> {
    let SignedAssertion { iat, exp, nbf, .. } = *assertion;
    if exp.saturating_add(MAX_CLOCK_SKEW) <= now {
        return Err(CredentialError::Expired);
    }
    let begins = nbf.unwrap_or(iat).max(iat);
    if begins > now.saturating_add(MAX_CLOCK_SKEW) {
        return Err(WrongTokenTimes::Future { ahead: begins.saturating_sub(now) }.into());
    }
    if exp <= iat {
        return Err(WrongTokenTimes::Backwards.into());
    }
    let life = exp.saturating_sub(iat);
    if life > MAX_SELF_SIGNED_LIFE {
        return Err(WrongTokenTimes::TooLong { life, ahead: iat.saturating_sub(now) }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(times: (i64, i64, Option<i64>), expected: &str) {
        let (iat, exp, nbf) = times;
        let assertion = SignedAssertion {
            iss: String::new(),
            sub: None,
            aud: None,
            iat,
            exp,
            nbf,
            scope: None,
            target_audience: None,
        };
        let outcome = check_times(&assertion, 10_000)
            .map_or_else(|error| error.to_string(), |()| "good".to_owned());
        assert!(outcome.starts_with(expected), "{times:?}: {outcome}");
    }

    #[test]
    fn times_within_a_minute() {
        check((10_000, 13_600, None), "good");
        check((10_059, 13_000, None), "good");
        check((6_400, 9_941, None), "good");
        check((6_400, 9_940, None), "the credential has expired");
        check((10_061, 13_000, None), "the token is from the future: it begins 61 s ahead");
        check((9_000, 12_000, Some(10_061)), "the token is from the future: it begins 61 s ahead");
        check((i64::MAX, i64::MAX, None), "the token is from the future");
        check((10_000, 10_000, None), "the token ends before it begins");
        check((10_000, 9_999, None), "the token ends before it begins");
    }

    /// The message shows how `iat` stands to our clock: if they agree, no clock is wrong.
    #[test]
    fn what_is_too_long_says_which_clock_it_goes_by() {
        let too_long = |life: &str, iat: &str| {
            format!(
                "the token is too long: its exp is {life} s after its iat, where 3600 s are the most, and its iat is {iat}"
            )
        };
        check((10_000, 13_601, None), &too_long("3601", "the time of this registry's clock"));
        check((2_800, 13_600, None), &too_long("10800", "7200 s behind this registry's clock"));
        check((10_030, 20_030, None), &too_long("10000", "30 s ahead of this registry's clock"));
        let life = i64::MAX.to_string();
        check((i64::MIN, i64::MAX, None), &too_long(&life, "9223372036854775808 s behind"));
        check((10_000, i64::MAX, None), "the token is too long");
    }
}
