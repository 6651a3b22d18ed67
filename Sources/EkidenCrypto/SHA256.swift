// SHA-256 and what is built on it: HMAC and PBKDF2, by OpenSSL. Pure functions of bytes; called by
// the login mechanisms, the users file and its command. Secrets are compared with
// `isEqualInConstantTime` and nothing else.
// FIPS 180-4, RFC 2104 (HMAC), RFC 8018 §5.2 (PBKDF2).

import COpenSSL

package enum SHA256 {
    /// Bytes of a digest.
    package static let byteCount = 32

    package static func digest(_ bytes: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: byteCount)
        _ = COpenSSL.SHA256(bytes, bytes.count, &digest)
        return digest
    }

    /// HMAC-SHA-256 (RFC 2104) of `bytes` under a key of any length.
    package static func hmac(key: [UInt8], _ bytes: [UInt8]) -> [UInt8] {
        // OpenSSL takes a null key for "as before"; an empty array may have no address.
        let key = key.isEmpty ? [0] : key
        var digest = [UInt8](repeating: 0, count: byteCount)
        var count: UInt32 = 0
        let result = HMAC(EVP_sha256(), key, Int32(key.count), bytes, bytes.count, &digest, &count)
        precondition(result != nil && count == byteCount, "OpenSSL has no HMAC-SHA-256")
        return digest
    }

    /// PBKDF2-HMAC-SHA-256 (RFC 8018 §5.2), slow on purpose: on the loop it would stop everybody.
    /// - Parameter iterations: at least 1.
    package static func pbkdf2(
        password: [UInt8],
        salt: [UInt8],
        iterations: Int,
        byteCount: Int = SHA256.byteCount
    ) -> [UInt8] {
        precondition(iterations > 0 && iterations <= Int(Int32.max) && byteCount > 0)
        var key = [UInt8](repeating: 0, count: byteCount)
        let result = password.withUnsafeBytes { password in
            // As with HMAC: no address is an error, no bytes are a password.
            let text = password.baseAddress?.assumingMemoryBound(to: CChar.self)
            return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 1) { nothing in
                nothing[0] = 0
                return PKCS5_PBKDF2_HMAC(
                    text ?? UnsafePointer(nothing.baseAddress),
                    Int32(password.count),
                    salt,
                    Int32(salt.count),
                    Int32(iterations),
                    EVP_sha256(),
                    Int32(byteCount),
                    &key
                )
            }
        }
        precondition(result == 1, "OpenSSL has no PBKDF2-HMAC-SHA-256")
        return key
    }
}

/// Whether two secrets are the same. How long it takes tells their lengths and nothing else.
package func isEqualInConstantTime(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    a.count == b.count && CRYPTO_memcmp(a, b, a.count) == 0
}
