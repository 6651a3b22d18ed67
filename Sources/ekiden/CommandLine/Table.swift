// Rows for people: aligned columns, numbers to the right, the widest text column cut to fit the
// terminal. Also how ages and sizes are written everywhere.

struct Table {
    enum Side {
        case left
        case right
    }

    struct Column {
        var title: String
        var side: Side = .left
        /// May be cut, with `…`, where the row is wider than the terminal.
        var isElastic = false
    }

    var columns: [Column]
    var rows: [[String]] = []

    /// - Parameter width: columns of the terminal; nil cuts nothing.
    func lines(width: Int?) -> [String] {
        var widths = columns.map(\.title.count)
        for row in rows {
            for (index, cell) in row.enumerated() { widths[index] = max(widths[index], cell.count) }
        }
        if let width { shrink(&widths, to: width) }
        let header = columns.map(\.title)
        return ([header] + rows).map { line($0, widths) }
    }

    /// Takes the excess from the elastic columns, the widest first.
    private func shrink(_ widths: inout [Int], to width: Int) {
        var excess = widths.reduce(0, +) + 2 * (widths.count - 1) - width
        while excess > 0 {
            let elastic = columns.indices.filter { columns[$0].isElastic && widths[$0] > 8 }
            guard let widest = elastic.max(by: { widths[$0] < widths[$1] }) else { return }
            widths[widest] -= 1
            excess -= 1
        }
    }

    private func line(_ cells: [String], _ widths: [Int]) -> String {
        var text = ""
        for (index, cell) in cells.enumerated() {
            if index > 0 { text += "  " }
            let cut = clipped(cell, widths[index])
            let padding = String(repeating: " ", count: widths[index] - cut.count)
            text += columns[index].side == .left ? cut + padding : padding + cut
        }
        while text.last == " " { text.removeLast() }
        return text
    }
}

/// At most `width` characters, the last one `…` when something was cut.
func clipped(_ text: String, _ width: Int) -> String {
    text.count <= width ? text : String(text.prefix(max(width - 1, 0))) + "…"
}

/// `40s`, `4m`, `2h`, `3d`: the largest unit that fits at least once.
func ageText(seconds: Double) -> String {
    let seconds = Int(max(seconds, 0))
    return switch seconds {
    case ..<60: "\(seconds)s"
    case ..<3600: "\(seconds / 60)m"
    case ..<86_400: "\(seconds / 3600)h"
    default: "\(seconds / 86_400)d"
    }
}

/// `90s`, `5m`, `2h`: the whole time, in the largest unit that divides it.
func timeText(_ seconds: Double) -> String {
    guard seconds == seconds.rounded(), let whole = Int(exactly: seconds), whole > 0 else {
        return "\(fixed(seconds, 1))s"
    }
    for (unit, length) in [("d", 86_400), ("h", 3600), ("m", 60)]
    where whole.isMultiple(of: length) { return "\(whole / length)\(unit)" }
    return "\(whole)s"
}

/// `812`, `4.1K`, `12M`: bytes in powers of 1024, two digits that matter.
func sizeText(_ bytes: Int) -> String {
    if bytes < 1024 { return String(bytes) }
    var value = Double(bytes)
    for unit in ["K", "M", "G", "T", "P"] {
        value /= 1024
        if value < 9.95 { return "\(fixed(value, 1))\(unit)" }
        if value < 1023.5 { return "\(Int(value.rounded()))\(unit)" }
    }
    return "\(Int(value.rounded()))P"
}

/// A number with exactly `decimals` digits after the point.
func fixed(_ value: Double, _ decimals: Int) -> String {
    var scale = 1.0
    for _ in 0..<decimals { scale *= 10 }
    let scaled = Int64((abs(value) * scale).rounded())
    let whole = scaled / Int64(scale)
    let sign = value < 0 && scaled != 0 ? "-" : ""
    guard decimals > 0 else { return sign + String(whole) }
    let fraction = String(scaled % Int64(scale))
    return sign + "\(whole)." + String(repeating: "0", count: decimals - fraction.count) + fraction
}

func plural(_ count: Int, _ word: String) -> String {
    count == 1 ? "1 \(word)" : "\(count) \(word)s"
}
