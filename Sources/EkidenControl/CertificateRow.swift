// What `ekiden status` says of a listener's certificates, or of those shown to next hops.

import EkidenMail

package struct CertificateRow: Sendable, Equatable {
    /// DNS names they are for.
    package var names: [String]
    /// When the first of them is no longer valid; nil: they are not known to end.
    package var end: WallTime?
    /// Why the newer files on disk are not used; nil: those in use are the newest.
    package var trouble: String?

    package init(names: [String], end: WallTime?, trouble: String?) {
        self.names = names
        self.end = end
        self.trouble = trouble
    }

    func write(_ w: inout JSONWriter) {
        w.field("names", names)
        w.field("end", end)
        w.field("trouble", trouble)
    }

    init(_ object: JSONObject) throws(JSONProblem) {
        names = try object.strings("names")
        end = try object.optionalTime("end")
        trouble = try object.optionalString("trouble")
    }
}
