/** Picture-in-picture of one video. */

export class Floating {
  isOn = $state(false);
  readonly isPossible = document.pictureInPictureEnabled;
  #video: HTMLVideoElement | null = null;

  /** Follows a video, whose events are missing in the types of HTML elements. */
  follow(video: HTMLVideoElement): () => void {
    this.#video = video;
    const changed = () => (this.isOn = document.pictureInPictureElement === video);
    changed();
    video.addEventListener('enterpictureinpicture', changed);
    video.addEventListener('leavepictureinpicture', changed);
    return () => {
      video.removeEventListener('enterpictureinpicture', changed);
      video.removeEventListener('leavepictureinpicture', changed);
    };
  }

  async toggle(): Promise<void> {
    try {
      if (this.isOn) await document.exitPictureInPicture();
      else await this.#video?.requestPictureInPicture();
    } catch {
      // The browser refused: the button keeps its state.
    }
  }
}
