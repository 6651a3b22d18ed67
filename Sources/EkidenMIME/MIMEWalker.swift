// The structure of a message, walked line by line with a stack of open parts (RFC 2046 §5.1): for each
// line it says whether it is header, content, a boundary or what stands around the parts. Survey and
// converter both walk with it, so that they can't disagree. Memory is bounded: the boundaries of
// `depthMax` open parts and the MIME fields of one header.
//
// A line is a boundary if it is nothing but `--`, the boundary, perhaps `--`, and spaces. The boundary
// of an outer part ends all inner ones, closed or not (§5.1.2).

/// Why 8-bit content can't be converted.
package enum SevenBitObstacle: String, Sendable, CaseIterable {
    case header
    case surroundings
    case signed
    case alreadyEncoded
    case unknownEncoding
    case restrictedType
    case damagedStructure
    case tooDeep
    case tooManyParts

    /// Goes behind "it can't be converted: ".
    package var sentence: String {
        switch self {
        case .header: "a header field of it or of one of its parts has 8-bit characters"
        case .surroundings: "there are 8-bit characters between its parts"
        case .signed: "a signed part has 8-bit content, and another encoding breaks the signature"
        case .alreadyEncoded:
            "a part has 8-bit content although it is labelled quoted-printable or base64"
        case .unknownEncoding:
            "a part has 8-bit content and a Content-Transfer-Encoding that nobody knows"
        case .restrictedType: "a part has 8-bit content and a type that must be 7-bit"
        case .damagedStructure: "its MIME structure is damaged"
        case .tooDeep: "its parts are nested more than \(MIMEWalker.depthMax) deep"
        case .tooManyParts: "it has more than \(MIMEWalker.entitiesMax) parts"
        }
    }
}

/// What an entity's body is.
enum EntityBody: Equatable {
    /// A leaf of text.
    case text
    /// Any other leaf.
    case data
    case multipart(boundary: [UInt8])
    /// A message with a header of its own.
    case message
    /// A leaf whose bytes must stay.
    case fixed(SevenBitObstacle)
}

/// A message, or a part of one.
struct MIMEEntity {
    /// In the order of their beginnings; 0 is the whole message.
    let index: Int
    var header: EntityHeader
    /// Known when the header has ended.
    var body = EntityBody.fixed(.damagedStructure)
    /// Its label is `8bit` or `binary`.
    var isLabelledEightBit = false
}

/// What a line is.
enum MIMELine: Equatable {
    case header(EntityHeaderLine)
    /// Of the current entity, which has no parts.
    case content
    /// Before the first part of a multipart or behind its last.
    case surroundings
    case boundary
}

struct MIMEWalker {
    /// Open composite parts, one inside the other; mail has fewer than ten.
    static let depthMax = 100
    /// Parts of a message.
    static let entitiesMax = 10_000

    /// An open multipart or message/rfc822.
    struct Frame {
        let entity: MIMEEntity
        /// Empty: of a message/rfc822, which ends with what is around it.
        let boundary: [UInt8]
        /// RFC 2046 §5.1.5: parts of a digest are messages unless they say otherwise.
        let isDigest: Bool
        /// Nothing inside may change.
        let isSigned: Bool
        /// Its last boundary has passed.
        var isClosed = false
    }

    private enum Place {
        case header
        case content
        case surroundings
    }

    private(set) var frames: [Frame] = []
    /// The one that the last header line or content line belongs to.
    private(set) var entity = MIMEEntity(index: 0, header: EntityHeader(isMessage: true))
    private(set) var entities = 1
    private var place = Place.header

    /// A boundary is still to come, which has the CRLF before it (RFC 2046 §5.1.1); where it is missing at
    /// the end of the message, its CRLF may be there all the same.
    var awaitsBoundary: Bool { frames.contains { !$0.boundary.isEmpty && !$0.isClosed } }

    /// Takes the next line with its line end.
    mutating func take(_ line: UnsafeRawBufferPointer) -> MIMELine {
        if endsAtBoundary(line) { return .boundary }
        switch place {
        case .content: return .content
        case .surroundings: return .surroundings
        case .header:
            let kind = entity.header.take(line)
            switch kind {
            case .field, .continuation: break
            case .end: enterBody()
            case .stray:
                enterBody()
                return .content
            }
            return .header(kind)
        }
    }

    // MARK: Boundaries

    private mutating func endsAtBoundary(_ line: UnsafeRawBufferPointer) -> Bool {
        guard line.count > 2, line[0] == UInt8(ascii: "-"), line[1] == UInt8(ascii: "-") else {
            return false
        }
        var text = lineText(line)[2...]
        while let last = text.last, last == 0x20 || last == 0x09 { text.removeLast() }
        for depth in frames.indices.reversed() where !frames[depth].isClosed {
            let boundary = frames[depth].boundary
            guard !boundary.isEmpty, text.starts(with: boundary) else { continue }
            let rest = text.dropFirst(boundary.count)
            if rest.isEmpty {
                frames.removeLast(frames.count - depth - 1)
                begin(isMessage: false)
                return true
            }
            if rest.elementsEqual("--".utf8) {
                frames.removeLast(frames.count - depth - 1)
                frames[depth].isClosed = true
                place = .surroundings
                return true
            }
        }
        return false
    }

    private mutating func begin(isMessage: Bool) {
        entity = MIMEEntity(index: entities, header: EntityHeader(isMessage: isMessage))
        entities += 1
        place = .header
    }

    // MARK: Bodies

    private mutating func enterBody() {
        let header = entity.header
        let encoding = header.transferEncoding.map { TransferEncoding($0) } ?? .sevenBit
        entity.isLabelledEightBit = encoding == .eightBit
        entity.body = body(of: header, encoding)
        switch entity.body {
        case .text, .data, .fixed: place = .content
        case .multipart(let boundary):
            open(boundary)
            place = .surroundings
        case .message:
            open([])
            begin(isMessage: true)
        }
    }

    private mutating func open(_ boundary: [UInt8]) {
        let type = entity.header.contentType.flatMap { ContentType($0) }
        frames.append(
            Frame(
                entity: entity,
                boundary: boundary,
                isDigest: type?.type == "multipart" && type?.subtype == "digest",
                // RFC 1847 §2.1: what is signed is treated as opaque.
                isSigned: isSigned || type?.type == "multipart" && type?.subtype == "signed"
            )
        )
    }

    private var isSigned: Bool { frames.last?.isSigned ?? false }

    private func body(of header: EntityHeader, _ encoding: TransferEncoding) -> EntityBody {
        if header.isDamaged { return .fixed(.damagedStructure) }
        let kind = kind(of: header)
        switch kind {
        case .text, .data:
            if isSigned { return .fixed(.signed) }
        case .multipart, .message:
            if frames.count >= Self.depthMax { return .fixed(.tooDeep) }
        case .fixed: return kind
        }
        switch encoding {
        case .sevenBit, .eightBit: return kind
        // RFC 2045 §6.4: nothing encoded has parts, whatever it says; the content is what it is.
        case .encoded: return .fixed(.alreadyEncoded)
        case .unknown: return .fixed(.unknownEncoding)
        }
    }

    /// By type alone.
    private func kind(of header: EntityHeader) -> EntityBody {
        guard let value = header.contentType else {
            // RFC 2046 §5.1.5, RFC 2045 §5.2
            return frames.last?.isDigest == true ? .message : .text
        }
        guard let type = ContentType(value) else { return .text }
        switch (type.type, type.subtype) {
        case ("text", _): return .text
        case ("multipart", _):
            guard !type.isDamaged, let boundary = type.boundary, isDistinct(boundary) else {
                return .fixed(.damagedStructure)
            }
            return .multipart(boundary: boundary)
        case ("message", "rfc822"): return type.isDamaged ? .fixed(.damagedStructure) : .message
        // RFC 6532 §3.7, and its relatives of RFC 6533: any encoding is allowed.
        case ("message", let subtype) where subtype.hasPrefix("global"): return .data
        // RFC 2046 §5.2: of any other kind of message no encoding but 7bit is sure to be allowed.
        case ("message", _): return .fixed(.restrictedType)
        default: return .data
        }
    }

    /// Its lines can't be taken for those of a part around it (RFC 2046 §5.1.2).
    private func isDistinct(_ boundary: [UInt8]) -> Bool {
        let ending = Array("--".utf8)
        return !boundary.isEmpty
            && frames.allSatisfy {
                $0.boundary != boundary && $0.boundary != boundary + ending
                    && $0.boundary + ending != boundary
            }
    }
}
