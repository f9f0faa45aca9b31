import { size } from "./Lines.js";
import type { Upload, Uploads } from "./uploads.js";

/** What is on its way, a row an upload. */
export function UploadRows({ uploads }: { uploads: Uploads }) {
  const list = uploads.list.value;
  if (list.length === 0) return null;
  return (
    <ul class="uploads" aria-label="Uploads">
      {list.map((upload) => (
        <UploadRow key={upload.id} upload={upload} />
      ))}
    </ul>
  );
}

function UploadRow({ upload }: { upload: Upload }) {
  const { bytes, total, failed } = upload.progress.value;
  return (
    <li>
      <div class="row">
        <span class="cut grow" title={upload.title}>
          {upload.title}
        </span>
        <small>
          {size(bytes)} of {size(total)}
        </small>
        {failed && (
          <button type="button" class="small" onClick={() => upload.retry()}>
            Try again
          </button>
        )}
        <button
          type="button"
          class="quiet small"
          aria-label={`Cancel the upload of ${upload.title}`}
          onClick={() => upload.cancel()}
        >
          ×
        </button>
      </div>
      {failed ? (
        <small role="alert" class="failed">
          {failed}
        </small>
      ) : (
        <progress max={Math.max(total, 1)} value={bytes} aria-label={upload.title} />
      )}
    </li>
  );
}
