// The TLS seam. An engine is one side of a TLS session as a transform: bytes from the peer go in,
// bytes for the peer come out, and neither socket nor clock is known to it; `Connection` moves the
// bytes. In the real world it is OpenSSL, in the simulated one labelled plaintext with the same
// facts. An acceptor makes engines for a listener, a connector those for next hops, and both swap
// their certificates while they are used.

import EkidenMail

/// Why a TLS session did not come about or ended: a sentence for the log, in OpenSSL's words where
/// it has any.
package struct TLSFailure: Error, Sendable, Equatable {
    package let text: String
    package init(_ text: String) { self.text = text }
}

/// What reading from a session gave.
package enum TLSRead: Sendable, Equatable {
    case bytes(Int)
    /// More has to come from the peer first.
    case starved
    /// The peer said that nothing more comes (RFC 8446 §6.1).
    case closed
}

/// One side of one session. Used on its connection's loop alone.
package protocol TLSEngine: AnyObject {
    /// What came from the peer; all of it is taken.
    func take(_ bytes: UnsafeRawBufferPointer)
    /// Goes on with the handshake; true when it has ended well. After a failure what `drain` gives
    /// is the alert that tells the peer.
    func shakeHands() throws(TLSFailure) -> Bool
    func read(into room: UnsafeMutableRawBufferPointer) throws(TLSFailure) -> TLSRead
    /// All of it is taken.
    func write(_ bytes: UnsafeRawBufferPointer) throws(TLSFailure)
    /// Says that nothing more comes from this side.
    func close()
    /// What is to go to the peer now.
    func drain() -> Bytes
    /// Bytes are there that `read` gives without more from the peer.
    var hasPending: Bool { get }
    /// After the handshake.
    var facts: TLSFacts { get }
}

/// How a certificate is that is in use.
package struct TLSStanding: Sendable, Equatable {
    /// Path of its file.
    package var file: String
    /// What it is for: DNS names, mail addresses.
    package var names: [String]
    /// When it is no longer valid.
    package var end: WallTime?
    /// Why the newer files on disk, of it or of those it is used with, are not used.
    package var trouble: String?

    package init(file: String, names: [String], end: WallTime?, trouble: String?) {
        self.file = file
        self.names = names
        self.end = end
        self.trouble = trouble
    }
}

/// Made of files that may change.
package protocol TLSMaterial: AnyObject, Sendable {
    /// Reads what it was made of again if that has changed. Returns what a person should know:
    /// nil when nothing changed. After a failure the old certificates stay.
    func refresh() -> Result<String, TLSFailure>?
    /// Takes other keys for tickets, so that who steals one reads no more than a day's sessions
    /// (RFC 9325 §3.4); what the acceptor was made of stays in use if it can't be read now.
    func renewKeys()
    /// One for each certificate.
    var standings: [TLSStanding] { get }
}

/// Makes the server side of sessions, with the certificates it has at the time.
package protocol TLSAcceptor: TLSMaterial {
    func makeEngine() -> any TLSEngine
}

/// Makes the client side of sessions. Any certificate ends the handshake well: whether it will do
/// is in the facts, and for policy to say.
package protocol TLSConnector: TLSMaterial {
    /// - Parameters:
    ///   - name: the host's, to be asked for (SNI); an address is not asked for (RFC 6066 §3).
    ///   - names: a certificate has to have one of them to be trusted (RFC 6125 §6.4); `.example.org`
    ///     is any name below.
    ///   - now: certificates have to be valid at that time.
    func makeEngine(to name: String, expecting names: [String], at now: WallTime) -> any TLSEngine
}

/// A certificate with its key, as PEM files.
package struct TLSIdentity: Sendable, Equatable {
    /// The certificate, then those that vouch for it.
    package var certificate: String
    package var key: String
    package init(certificate: String, key: String) {
        self.certificate = certificate
        self.key = key
    }
}

/// What a listener's TLS is made of.
package struct TLSServerSettings: Sendable, Equatable {
    package enum ClientCertificate: Sendable, Equatable {
        case none
        /// Asked for, and taken or not; policy looks at it.
        case optional
        /// Without one that an authority vouches for there is no session.
        case required
    }

    /// The first is shown to clients that ask for no name, or for an unknown one.
    package var identities: [TLSIdentity]
    package var clientCertificate: ClientCertificate
    /// PEM file of the authorities that vouch for clients.
    package var clientAuthorities: String?

    package init(
        identities: [TLSIdentity],
        clientCertificate: ClientCertificate = .none,
        clientAuthorities: String? = nil
    ) {
        self.identities = identities
        self.clientCertificate = clientCertificate
        self.clientAuthorities = clientAuthorities
    }
}

/// What TLS towards next hops is made of.
package struct TLSClientSettings: Sendable, Equatable {
    /// PEM file of the authorities that vouch for hosts; nil: the system's.
    package var authorities: String?
    /// Shown to hosts that ask.
    package var identity: TLSIdentity?

    package init(authorities: String? = nil, identity: TLSIdentity? = nil) {
        self.authorities = authorities
        self.identity = identity
    }
}

/// The world's TLS.
package protocol TLSProvider: Sendable {
    /// Errors: as of `acceptor`.
    func connector(_ settings: TLSClientSettings) throws(TLSFailure) -> any TLSConnector
    /// Errors: a file can't be read, is no PEM, or key and certificate don't belong together; the
    /// sentence names the file.
    func acceptor(_ settings: TLSServerSettings) throws(TLSFailure) -> any TLSAcceptor
}

/// A world without TLS.
package struct NoTLS: TLSProvider {
    package init() {}
    package func acceptor(_ settings: TLSServerSettings) throws(TLSFailure) -> any TLSAcceptor {
        throw TLSFailure("no TLS in this world")
    }
    package func connector(_ settings: TLSClientSettings) throws(TLSFailure) -> any TLSConnector {
        throw TLSFailure("no TLS in this world")
    }
}

/// Why a connection could not be secured.
package enum SecureFailure: Error, Sendable, Equatable {
    /// The connection itself failed.
    case connection(IOFailure)
    case handshake(TLSFailure)
}
