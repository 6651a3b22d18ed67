// The queue in memory, packed: a slot of 64 bytes a message, and one block that holds its sender
// and recipients. A message with one recipient takes less than 250 bytes, each further recipient
// less than 96; words and history stay on disk. Owned by the owner loop; recovery fills it, the
// commit loop changes it, everybody else gets values.

import EkidenMail

/// `@unchecked Sendable`: an index is used by one thread at a time: by recovery, then on the owner
/// loop alone.
final class SpoolIndex: @unchecked Sendable {
    /// One queued message.
    struct Slot {
        var id: UInt64
        var arrived: Int64
        var block: UnsafeMutableRawPointer
        var byteCount: UInt64
        /// Where its frame is.
        var place: LogPlace
        /// Its newest marks; `.none` when there are none.
        var lastMarks: LogPlace
        var frameBytes: UInt32
        var recipientCount: UInt32
        var pendingCount: UInt32
        /// Which of the messages of its frame it is, and how many share it.
        var part: UInt8
        var parts: UInt8
        var flags: UInt8

        static let isHeld: UInt8 = 1
        static let isLarge: UInt8 = 2
        static let hasSender: UInt8 = 4
        static let hasDemands: UInt8 = 8
        static let isReleased: UInt8 = 16

        var liveBytes: Int { Int(frameBytes) / Int(max(parts, 1)) }
    }

    /// One recipient, in the message's block; its local part is text further on in the block.
    struct PackedRecipient {
        var next: Int64
        var domain: UInt32
        var textOffset: UInt32
        var attempts: UInt16
        var textBytes: UInt16
        var state: UInt8
        var reason: UInt8
        var delayNoticeSent: Bool
        static let hasNoNext = Int64.min
    }

    /// Block layout: domain number of the sender, bytes of the block, number of the origin (padded to
    /// 16), recipients, sender's local part, recipients' local parts.
    private static let blockHead = 16
    private static let originOffset = 8
    private static let recipientStride = MemoryLayout<PackedRecipient>.stride
    private static let slabSlots = 1024

    private var ids = OrderedIDs()
    private var slabs: ContiguousArray<UnsafeMutablePointer<Slot>> = []
    private var free: ContiguousArray<UInt32> = []
    private var slotEnd: UInt32 = 0
    /// As written; a domain's key is its text, not the folded one.
    private var domains = CountedTable<String, Domain>()
    private var origins = CountedTable<Origin, Origin>()
    private var holds: [UInt64: Hold] = [:]
    private var blockBytes = 0

    /// Sum of `liveBytes` of the messages in each segment.
    private(set) var liveBytes: [UInt32: Int] = [:]
    private(set) var totalLiveBytes = 0
    private(set) var queuedBytes = 0

    init() {}

    deinit {
        for number in 0..<slotEnd where slot(number).pointee.id != 0 {
            slot(number).pointee.block.deallocate()
        }
        for slab in slabs { slab.deallocate() }
    }

    var count: Int { ids.count }

    private func slot(_ number: UInt32) -> UnsafeMutablePointer<Slot> {
        slabs[Int(number) / Self.slabSlots] + Int(number) % Self.slabSlots
    }

    private func find(_ id: QueueID) -> UnsafeMutablePointer<Slot>? {
        ids.slot(id.number).map { slot($0) }
    }

    // MARK: Messages

    /// Adds a message, or puts a moved one in the place of what was known of it.
    func insert(
        _ message: QueuedMessage,
        at place: LogPlace,
        frameBytes: Int,
        part: Int = 0,
        parts: Int = 1,
        isLarge: Bool = false,
        lastMarks: LogPlace = .none
    ) {
        let pending = message.recipients.count { $0.state == .pending }
        var slotValue = Slot(
            id: message.id.number,
            arrived: message.arrived.nanoseconds,
            block: pack(message),
            byteCount: UInt64(message.byteCount),
            place: place,
            lastMarks: lastMarks,
            frameBytes: UInt32(clamping: frameBytes),
            recipientCount: UInt32(message.recipients.count),
            pendingCount: UInt32(pending),
            part: UInt8(clamping: part),
            parts: UInt8(clamping: parts),
            flags: isLarge ? Slot.isLarge : 0
        )
        if !message.sender.isNull { slotValue.flags |= Slot.hasSender }
        if message.hasDemands { slotValue.flags |= Slot.hasDemands }
        if message.isReleased { slotValue.flags |= Slot.isReleased }
        if let known = find(message.id) {
            count(known.pointee, -1)
            drop(known)
            known.initialize(to: slotValue)
        } else {
            let number = takeSlot()
            slot(number).initialize(to: slotValue)
            ids.insert(message.id.number, number)
        }
        holds[message.id.number] = message.hold
        find(message.id)?.pointee.flags |= message.hold == nil ? 0 : Slot.isHeld
        count(slotValue, 1)
    }

    /// The message's frame is now elsewhere; marks before the new place are part of it.
    func move(_ id: QueueID, to place: LogPlace, frameBytes: Int) {
        guard let slot = find(id) else { return }
        count(slot.pointee, -1)
        slot.pointee.place = place
        slot.pointee.frameBytes = UInt32(clamping: frameBytes)
        slot.pointee.part = 0
        slot.pointee.parts = 1
        if slot.pointee.lastMarks < place { slot.pointee.lastMarks = .none }
        count(slot.pointee, 1)
    }

    func remove(_ id: QueueID) {
        guard let number = ids.slot(id.number) else { return }
        let slot = slot(number)
        count(slot.pointee, -1)
        drop(slot)
        slot.pointee.id = 0
        holds[id.number] = nil
        ids.remove(id.number)
        free.append(number)
    }

    private func count(_ slot: Slot, _ sign: Int) {
        let bytes = slot.liveBytes * sign
        totalLiveBytes += bytes
        queuedBytes += Int(slot.byteCount) * sign
        liveBytes[slot.place.segment, default: 0] += bytes
    }

    func forgetSegment(_ segment: UInt32) { liveBytes[segment] = nil }

    private func takeSlot() -> UInt32 {
        if let number = free.popLast() { return number }
        if Int(slotEnd) == slabs.count * Self.slabSlots {
            slabs.append(.allocate(capacity: Self.slabSlots))
        }
        slotEnd += 1
        return slotEnd - 1
    }

    private func pack(_ message: QueuedMessage) -> UnsafeMutableRawPointer {
        var senderText = ""
        var senderDomain: UInt32 = 0
        if case .address(let sender) = message.sender {
            senderText = sender.localPart
            senderDomain = domains.take(sender.domain, as: sender.domain.text)
        }
        let fixed = Self.blockHead + Self.recipientStride * message.recipients.count
        let textBytes = message.recipients.reduce(senderText.utf8.count) {
            $0 + $1.address.localPart.utf8.count
        }
        let block = UnsafeMutableRawPointer.allocate(byteCount: fixed + textBytes, alignment: 8)
        blockBytes += fixed + textBytes
        block.storeBytes(of: senderDomain, as: UInt32.self)
        block.storeBytes(of: UInt32(fixed + textBytes), toByteOffset: 4, as: UInt32.self)
        block.storeBytes(
            of: origins.take(message.origin, as: message.origin),
            toByteOffset: Self.originOffset,
            as: UInt32.self
        )
        var at = fixed
        Self.put(senderText, block, &at)
        for (index, recipient) in message.recipients.enumerated() {
            let text = recipient.address.localPart
            let packed = PackedRecipient(
                next: recipient.nextAttempt?.nanoseconds ?? PackedRecipient.hasNoNext,
                domain: domains.take(
                    recipient.address.domain,
                    as: recipient.address.domain.text
                ),
                textOffset: UInt32(at),
                attempts: UInt16(clamping: recipient.attempts),
                textBytes: UInt16(text.utf8.count),
                state: recipient.state.rawValue,
                reason: ReasonNumber.number(recipient.reason),
                delayNoticeSent: recipient.delayNoticeSent
            )
            Self.recipients(block)[index] = packed
            Self.put(text, block, &at)
        }
        return block
    }

    private static func put(_ text: String, _ block: UnsafeMutableRawPointer, _ at: inout Int) {
        var text = text
        text.withUTF8 { bytes in
            guard let base = bytes.baseAddress else { return }
            (block + at).copyMemory(from: base, byteCount: bytes.count)
            at += bytes.count
        }
    }

    private static func recipients(
        _ block: UnsafeMutableRawPointer
    ) -> UnsafeMutablePointer<PackedRecipient> {
        (block + blockHead).assumingMemoryBound(to: PackedRecipient.self)
    }

    private func drop(_ slot: UnsafeMutablePointer<Slot>) {
        let block = slot.pointee.block
        if slot.pointee.flags & Slot.hasSender != 0 {
            domains.release(block.load(as: UInt32.self))
        }
        origins.release(block.load(fromByteOffset: Self.originOffset, as: UInt32.self))
        for index in 0..<Int(slot.pointee.recipientCount) {
            domains.release(Self.recipients(block)[index].domain)
        }
        blockBytes -= Int(block.load(fromByteOffset: 4, as: UInt32.self))
        block.deallocate()
    }

    // MARK: Marks and holds

    /// What a mark did to its message.
    enum MarkEffect { case unknown, applied, finished }

    /// Final states stay; marks of unknown messages or recipients change nothing.
    func apply(_ marks: [RecipientMark], to id: QueueID, at place: LogPlace) -> MarkEffect {
        guard let slot = find(id) else { return .unknown }
        let packed = Self.recipients(slot.pointee.block)
        for mark in marks {
            guard mark.recipient >= 0, mark.recipient < Int(slot.pointee.recipientCount),
                packed[mark.recipient].state == RecipientState.pending.rawValue
            else { continue }
            packed[mark.recipient].state = mark.state.rawValue
            packed[mark.recipient].attempts = UInt16(clamping: mark.attempts)
            packed[mark.recipient].next =
                mark.nextAttempt?.nanoseconds ?? PackedRecipient.hasNoNext
            packed[mark.recipient].reason = ReasonNumber.number(mark.reason)
            packed[mark.recipient].delayNoticeSent = mark.delayNoticeSent
            if mark.state.isFinal { slot.pointee.pendingCount -= 1 }
        }
        if slot.pointee.lastMarks < place { slot.pointee.lastMarks = place }
        if slot.pointee.pendingCount > 0 { return .applied }
        remove(id)
        return .finished
    }

    /// An operator's removal; of all recipients when none is named.
    func applyRemoval(_ record: OperatorRecord, at place: LogPlace) -> MarkEffect {
        guard let slot = find(record.id) else { return .unknown }
        let all = Array(0..<Int(slot.pointee.recipientCount))
        let packed = Self.recipients(slot.pointee.block)
        let marks = (record.recipients.isEmpty ? all : record.recipients).map {
            RecipientMark(
                recipient: $0,
                state: .removed,
                attempts: all.indices.contains($0) ? Int(packed[$0].attempts) : 0,
                at: record.at,
                reason: .operatorDelete
            )
        }
        return apply(marks, to: record.id, at: place)
    }

    /// False when there is no such message.
    @discardableResult
    func setHold(_ hold: Hold?, of id: QueueID) -> Bool {
        guard let slot = find(id) else { return false }
        // An operator's own hold says nothing of what routes may do.
        let isFreed = hold == nil && holds[id.number]?.reason != .operatorHold
        holds[id.number] = hold
        slot.pointee.flags &= ~Slot.isHeld
        if hold != nil { slot.pointee.flags |= Slot.isHeld }
        if isFreed { slot.pointee.flags |= Slot.isReleased }
        return true
    }

    // MARK: Reading

    func contains(_ id: QueueID) -> Bool { ids.slot(id.number) != nil }

    func location(_ id: QueueID) -> Slot? { find(id)?.pointee }

    func message(_ id: QueueID) -> QueuedMessage? { find(id).map { unpack($0.pointee) } }

    /// Up to `limit` messages with ids above `id`, in order of their ids.
    func messages(after id: QueueID, limit: Int) -> [QueuedMessage] {
        ids.slots(after: id.number, limit: limit).map { unpack(slot($0).pointee) }
    }

    /// Ids of the messages in `segment` among the slots from `cursor` on; looks at `limit` slots.
    func ids(in segment: UInt32, from cursor: inout UInt32, limit: Int) -> [QueueID] {
        let end = min(slotEnd, cursor + UInt32(limit))
        var found: [QueueID] = []
        for number in cursor..<max(end, cursor) {
            let slot = slot(number).pointee
            if slot.id != 0, slot.place.segment == segment {
                found.append(QueueID(number: slot.id))
            }
        }
        cursor = end
        return found
    }

    var slotCount: UInt32 { slotEnd }

    private func unpack(_ slot: Slot) -> QueuedMessage {
        let block = slot.block
        let packed = Self.recipients(block)
        let text = { (offset: Int, count: Int) in
            String(
                decoding: UnsafeRawBufferPointer(start: block + offset, count: count),
                as: UTF8.self
            )
        }
        var sender = ReversePath.null
        if slot.flags & Slot.hasSender != 0 {
            // Its text stands between the recipients and their texts.
            let fixed = Self.blockHead + Self.recipientStride * Int(slot.recipientCount)
            sender = .address(
                Address(
                    localPart: text(fixed, Int(packed[0].textOffset) - fixed),
                    domain: domains[block.load(as: UInt32.self)]
                )
            )
        }
        let recipients = (0..<Int(slot.recipientCount)).map { index in
            let r = packed[index]
            return RecipientStatus(
                address: Address(
                    localPart: text(Int(r.textOffset), Int(r.textBytes)),
                    domain: domains[r.domain]
                ),
                state: RecipientState(rawValue: r.state) ?? .pending,
                attempts: Int(r.attempts),
                nextAttempt: r.next == PackedRecipient.hasNoNext
                    ? nil : WallTime(nanoseconds: r.next),
                reason: ReasonNumber.reason(r.reason),
                delayNoticeSent: r.delayNoticeSent
            )
        }
        var message = QueuedMessage(
            id: QueueID(number: slot.id),
            sender: sender,
            recipients: recipients,
            byteCount: Int(slot.byteCount),
            arrived: WallTime(nanoseconds: slot.arrived),
            hold: slot.flags & Slot.isHeld == 0 ? nil : holds[slot.id],
            hasDemands: slot.flags & Slot.hasDemands != 0,
            origin: origins[block.load(fromByteOffset: Self.originOffset, as: UInt32.self)]
        )
        message.isReleased = slot.flags & Slot.isReleased != 0
        return message
    }

    /// Bytes of memory behind the index, the allocator's own share (16 a block) included.
    var footprintBytes: Int {
        slabs.count * Self.slabSlots * MemoryLayout<Slot>.stride
            + free.capacity * 4 + ids.footprintBytes + domains.footprintBytes
            + origins.footprintBytes
            + blockBytes + ids.count * 16 + holds.capacity * 40
    }
}

/// Reasons as small numbers, for memory only: on disk they are words.
private enum ReasonNumber {
    private static let all = Reason.allCases
    private static let numbers: [Reason: UInt8] = Dictionary(
        uniqueKeysWithValues: all.enumerated().map { ($1, UInt8($0)) }
    )

    static func number(_ reason: Reason) -> UInt8 { numbers[reason] ?? 0 }
    static func reason(_ number: UInt8) -> Reason { all[Int(number)] }
}
