// One splat in one page. The page holds three elements: #scene (JSON, see splat_pipeline/domain/viewer.py), #splat (an
// .spz in base64) and a canvas. World: y up, right-handed; poses are camera to world, -z forward, row by row.
import { SparkControls, SparkRenderer, SplatFileType, SplatMesh } from "@sparkjsdev/spark";
import * as THREE from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { frames } from "./poses.js";

const MAX_PIXEL_RATIO = 2;
const STILL = 1e-7; // by less than this, in one frame, a camera does not move
const BLUR = 0.3; // square pixels, as the trainer's renderer adds
const TALLEST = Math.tan(Math.PI / 4); // half of what is seen from above to below, at distance 1
const SIGMAS = Math.sqrt(2 * Math.log(255)); // an opaque Gaussian is cut where it falls below 1/255

const byId = (id) => document.getElementById(id);

function bytesOf(base64) {
  const text = atob(base64.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

class Viewer {
  constructor(told, canvas) {
    this.told = told;
    this.canvas = canvas;
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: false });
    this.renderer.setClearColor(new THREE.Color().setRGB(...told.background, THREE.SRGBColorSpace), 1);
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(60, 1, told.near, told.far);
    this.spark = new SparkRenderer({
      renderer: this.renderer,
      preBlurAmount: told.antialiased ? 0 : BLUR,
      blurAmount: told.antialiased ? BLUR : 0,
      maxStdDev: SIGMAS,
      maxPixelRadius: 2048,
      view: { sortRadial: false, sort32: true, sortDistance: told.reach / 1000 },
    });
    this.scene.add(this.spark);
    this.frames = frames(told.poses, told.frame_size);
    this.frames.visible = false;
    this.scene.add(this.frames);
    this.orbit = new OrbitControls(this.camera, canvas);
    this.orbit.enableDamping = true;
    this.orbit.dampingFactor = 0.15;
    this.fly = new SparkControls({ canvas });
    this.fly.fpsMovement.moveSpeed = told.reach / 4;
    this.fly.pointerControls.slideSpeed = told.reach / 500;
    this.fly.pointerControls.scrollSpeed = told.reach / 2000;
    this.at = -1;
    this.turn = this.resizes = this.left = 0;
    this.waiting = [];
  }

  async open(bytes) {
    const mesh = new SplatMesh({ fileBytes: bytes, fileType: SplatFileType.SPZ });
    await mesh.initialized;
    this.mesh = mesh;
    this.scene.add(mesh);
    this.start();
    this.renderer.setAnimationLoop(() => this.tick());
  }

  // The preview's first view.
  start() {
    this.at = -1;
    this.mode = this.told.mode;
    this.show(this.told.start);
    this.moveBy(this.mode);
  }

  show({ pose, fov_deg, aspect }) {
    this.camera.matrix.set(...pose);
    this.camera.matrix.decompose(this.camera.position, this.camera.quaternion, this.camera.scale);
    this.lens = { fov_deg, aspect };
    const ahead = new THREE.Vector3(0, 0, -1).applyQuaternion(this.camera.quaternion);
    const target = new THREE.Vector3(...this.told.target).sub(this.camera.position);
    this.orbit.target.copy(this.camera.position).addScaledVector(ahead, Math.max(target.dot(ahead), this.told.near * 2));
    this.resized();
  }

  // A narrower window than the view was made for keeps its width in sight, a wider one its height. Who flies stands amid
  // the scene: on a telephone the sides give way, before the picture is bent and shows what nobody filmed above and below.
  resized() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    const { fov_deg, aspect } = this.lens;
    this.camera.aspect = width / height;
    const made = Math.tan(THREE.MathUtils.degToRad(fov_deg / 2));
    const whole = made * Math.max(1, aspect / this.camera.aspect);
    const half = this.mode === "fly" ? Math.min(whole, Math.max(made, TALLEST)) : whole;
    this.camera.fov = THREE.MathUtils.radToDeg(2 * Math.atan(half));
    this.camera.updateProjectionMatrix();
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, MAX_PIXEL_RATIO));
    this.renderer.setSize(width, height, false);
    this.resizes++;
  }

  moveBy(mode) {
    this.mode = mode;
    this.orbit.enabled = mode === "orbit";
    this.fly.fpsMovement.enable = this.fly.pointerControls.enable = mode === "fly";
    if (mode === "orbit") this.show({ pose: this.poseNow(), ...this.lens });
    else this.resized();
    byId("mode").textContent = mode === "orbit" ? "Fly" : "Orbit";
    byId("help").textContent =
      mode === "orbit"
        ? "Drag to turn, two fingers or the right button to shift, pinch or wheel to come closer."
        : "Drag to look, two fingers or the right button to move; W A S D, R and F on a keyboard.";
  }

  poseNow() {
    this.camera.updateMatrix();
    return this.camera.matrix.clone().transpose().toArray();
  }

  // Another captured view: +1 the next, -1 the one before.
  step(by) {
    const count = this.told.poses.length;
    if (!count) return;
    this.at = this.at < 0 ? (by > 0 ? 0 : count - 1) : (this.at + by + count) % count;
    this.show(this.told.poses[this.at]);
    byId("where").textContent = `${this.told.poses[this.at].name}, ${this.at + 1} of ${count}`;
  }

  // Draws only when something changed, and a few times after: a splat at rest costs no power. Drawing is also what
  // makes Spark sort, and it may find no room for that at once.
  tick() {
    if (this.mode === "orbit") this.orbit.update();
    else this.flown();
    this.camera.updateMatrixWorld();
    const now = this.seen();
    const changed = now !== this.drawn;
    if (changed) this.left = 3;
    if (changed || (!this.busy() && (this.left > 0 || this.stale()))) {
      this.renderer.render(this.scene, this.camera);
      this.drawn = now;
      this.left--;
    } else if (!this.busy()) {
      this.waiting.splice(0).forEach((resolve) => resolve());
    }
  }

  // The controls turn a camera by way of Euler angles, which may change the last digits of one at rest, and back, without
  // end; for Spark each of these is another view, that it colours and sorts the Gaussians for.
  flown() {
    const { position, quaternion } = this.camera;
    const [place, turn] = [position.clone(), quaternion.clone()];
    this.fly.update(this.camera);
    const turned = Math.max(...quaternion.toArray().map((part, i) => Math.abs(part - turn.toArray()[i])));
    if (turned < STILL) quaternion.copy(turn);
    if (position.distanceTo(place) < STILL * this.told.reach) position.copy(place);
  }

  // Sorted for another view than this one, by more than Spark leaves unsorted.
  stale() {
    const [seen, sorted] = [this.camera.matrixWorld, this.spark.defaultView.display.viewToWorld].map((matrix) => ({
      place: new THREE.Vector3().setFromMatrixPosition(matrix),
      turn: new THREE.Quaternion().setFromRotationMatrix(matrix),
    }));
    return seen.place.distanceTo(sorted.place) > this.told.reach / 500 || Math.abs(seen.turn.dot(sorted.turn)) < 0.998;
  }

  // All that the picture depends on. Spark sorts and colours the Gaussians beside the drawing, and shows them in display.
  seen() {
    const { display } = this.spark.defaultView;
    if (display && display.accumulator !== this.shown) [this.shown, this.turn] = [display.accumulator, this.turn + 1];
    const [eye, lens] = [this.camera.matrixWorld.elements, this.camera.projectionMatrix.elements];
    const numbers = [...eye, ...lens, ...(display ? display.viewToWorld.elements : [])].map((x) => Math.round(x * 1e6));
    return [...numbers, this.turn, this.resizes, this.frames.visible].join();
  }

  busy() {
    const { display, sorting, pending } = this.spark.defaultView;
    return !display || sorting || pending || this.spark.pendingUpdate.timeoutId !== -1;
  }

  // Resolves when what is seen is final.
  settled() {
    this.drawn = null;
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}

async function main() {
  const told = JSON.parse(byId("scene").textContent);
  const viewer = new Viewer(told, byId("canvas"));
  await viewer.open(bytesOf(byId("splat").textContent));
  byId("splat").remove();
  byId("mode").onclick = () => viewer.moveBy(viewer.mode === "orbit" ? "fly" : "orbit");
  byId("start").onclick = () => { viewer.start(); byId("where").textContent = ""; };
  byId("poses").onclick = () => {
    viewer.frames.visible = !viewer.frames.visible;
    byId("poses").setAttribute("aria-pressed", viewer.frames.visible);
  };
  byId("next").onclick = () => viewer.step(1);
  byId("before").onclick = () => viewer.step(-1);
  byId("full").onclick = () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen());
  byId("full").hidden = !document.fullscreenEnabled;
  new ResizeObserver(() => viewer.resized()).observe(byId("canvas").parentElement);
  byId("waiting").remove();
  return viewer;
}

window.splat = main();
window.splat.catch((error) => { byId("waiting").textContent = `This browser cannot show the splat: ${error.message || error}`; });
