// 受講者のファイルを、このブラウザーに残す (IndexedDB)。2 つのタブが、互いに上書きしない:
// 書けるのは、所有者のタブだけ。所有者には、取った順に番号がある。次のタブが取ると、
// 前の番号は「終わった番号」になり、書くのと同じトランザクションの中で、それに当たって失敗する
const NAME = 'container-steps', FILES = 'files', SETTINGS = 'settings', ENDED = 'ended', OWNER = 'owner';
const REMEMBERED = 1000; // 終わった番号を、覚えておく数
const ANSWER = 300; // ほかのタブの返事を待つ時間 [ms]

const done = (request) => new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
});

const finished = (transaction) => new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    // 自分で abort() したときは、error がない
    transaction.onabort = () => reject(
        (transaction.error?.name ?? 'ConstraintError') === 'ConstraintError' ? new NotOwner() : transaction.error);
});

export class NotOwner extends Error {
    constructor() {
        super('another tab owns the files');
    }
}

// 残すもの: my/ と steps/ の下の書いたもの。作り直せるものは残さない
export const isKept = (path) => /^(my|steps)\//.test(path) && !/^my\/(step\d\d$|rootfs(\/|$))|\.[od]$|\/\.new\./.test(path);

export class Store extends EventTarget {
    static async open() {
        const opening = indexedDB.open(NAME, 1);
        opening.onupgradeneeded = () => [FILES, SETTINGS, ENDED].forEach((name) => opening.result.createObjectStore(name));
        const store = new Store();
        store.database = await done(opening);
        store.channel = new BroadcastChannel(NAME);
        store.channel.onmessage = ({ data }) => store.hear(data);
        store.owns = false;
        const seen = await store.setting(OWNER) ?? 0;
        if (!await store.ownerIsAlive())
            await store.take(seen).catch(() => {}); // 同時に開いた、ほかのタブが取った
        return store;
    }

    hear({ type, number }) {
        if (type === 'alive?' && this.owns)
            this.channel.postMessage({ type: 'alive' });
        if (type === 'alive')
            this.heard?.();
        if (type === 'taken' && this.owns && number > this.number)
            this.lose();
    }

    ownerIsAlive() {
        this.channel.postMessage({ type: 'alive?' });
        return new Promise((resolve) => {
            this.heard = () => resolve(true);
            setTimeout(resolve, ANSWER, false);
        });
    }

    // このタブを所有者にする。seen があれば、所有者がまだその番号のときだけ
    async take(seen) {
        const transaction = this.database.transaction([SETTINGS, ENDED], 'readwrite');
        const settings = transaction.objectStore(SETTINGS), ended = transaction.objectStore(ENDED);
        const owner = settings.get(OWNER);
        owner.onsuccess = () => {
            const last = owner.result ?? 0;
            if (seen !== undefined && seen !== last)
                return transaction.abort();
            ended.put(true, last);
            ended.delete(IDBKeyRange.upperBound(last - REMEMBERED));
            settings.put(this.number = last + 1, OWNER);
        };
        await finished(transaction);
        this.owns = true;
        this.channel.postMessage({ type: 'taken', number: this.number });
        this.dispatchEvent(new Event('owns'));
    }

    lose() {
        this.owns = false;
        this.dispatchEvent(new Event('lost'));
    }

    // change(store) を、所有者のときだけ行う。閉じるページでは、返事を待つ関数が
    // もう呼ばれない。だから、要求を続けて出して、すぐに commit する
    async change(name, change) {
        if (!this.owns)
            throw new NotOwner();
        const transaction = this.database.transaction([FILES, SETTINGS, ENDED], 'readwrite');
        const ended = transaction.objectStore(ENDED);
        ended.add(true, this.number); // 終わった番号なら、ここで失敗して、全部が取り消される
        ended.delete(this.number);
        change(transaction.objectStore(name));
        transaction.commit?.();
        try {
            await finished(transaction);
        } catch (error) {
            if (error instanceof NotOwner)
                this.lose();
            throw error;
        }
    }

    put(path, bytes) {
        return this.change(FILES, (files) => files.put(bytes, path));
    }

    remove(path) {
        return this.change(FILES, (files) => files.delete(path));
    }

    // パスと中身の組
    async all() {
        const files = this.database.transaction(FILES).objectStore(FILES);
        const [paths, contents] = await Promise.all([done(files.getAllKeys()), done(files.getAll())]);
        return paths.map((path, at) => [path, contents[at]]);
    }

    setting(name) {
        return done(this.database.transaction(SETTINGS).objectStore(SETTINGS).get(name));
    }

    set(name, value) {
        return this.change(SETTINGS, (settings) => settings.put(value, name));
    }
}

// データベースが使えないブラウザーで、代わりをする。タブを閉じると消える
export class Memory extends EventTarget {
    constructor() {
        super();
        this.owns = true;
        this.forgets = true;
        this.files = new Map();
    }

    async put(path, bytes) {
        this.files.set(path, bytes);
    }

    async remove(path) {
        this.files.delete(path);
    }

    async all() {
        return [...this.files];
    }

    async setting() {}

    async set() {}
}
